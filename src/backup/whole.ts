import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { HEAD_FILE } from '../ledger/files.ts';
import { PARTS } from './manifest.ts';

/** Stands in a data directory from before the first byte of a restore until after the last. */
export const UNFINISHED_FILE = 'restore-unfinished';

/**
 * Refuses a data directory that a restore was interrupted in (RESTORE_UNFINISHED), and one whose
 * ledger tells of a database that is gone (STORE_MISSING): a server that quietly made an empty one
 * would let in whom it had banned.
 */
export function refuseNotWhole(dataDir: string): Result<void> {
  if (existsSync(join(dataDir, UNFINISHED_FILE))) {
    return fail('RESTORE_UNFINISHED', `a restore into ${dataDir} was interrupted`);
  }
  const lost = existsSync(join(dataDir, HEAD_FILE)) && !existsSync(join(dataDir, PARTS.database));
  return lost
    ? fail('STORE_MISSING', `there is a ledger in ${dataDir}, but no ${PARTS.database}`)
    : ok(undefined);
}
