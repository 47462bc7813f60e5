import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';

/** Stands in a data directory from before the first byte of a restore until after the last. */
export const UNFINISHED_FILE = 'restore-unfinished';

/** Refuses a data directory that a restore was interrupted in: RESTORE_UNFINISHED. */
export function refuseUnfinished(dataDir: string): Result<void> {
  if (!existsSync(join(dataDir, UNFINISHED_FILE))) return ok(undefined);
  return fail('RESTORE_UNFINISHED', `a restore into ${dataDir} was interrupted`);
}
