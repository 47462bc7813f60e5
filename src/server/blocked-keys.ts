import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import {
  type BlockedKeys,
  MAX_BLOCKED_KEYS,
  PUBLISHED_BLOCKED_KEYS,
  parseBlockedKeys,
} from '../x509/blocked-keys.ts';

/** Octets of a list: a hash and a comment of some words on each line. */
const MAX_LIST_BYTES = MAX_BLOCKED_KEYS * 200;

/**
 * Keys that nothing is issued for: the published ones, and those of the file. Errors: FILE_UNREADABLE,
 * also where there is no such file, and KEY_BLOCKLIST.
 */
export async function loadBlockedKeys(path: string | undefined): Promise<Result<BlockedKeys>> {
  if (path === undefined) return ok(PUBLISHED_BLOCKED_KEYS);
  const bytes = await readFileIfPresent(path, MAX_LIST_BYTES);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return fail('FILE_UNREADABLE', `${path} does not exist`);
  const blocked = parseBlockedKeys(Buffer.from(bytes.value).toString('latin1'));
  return blocked.ok
    ? blocked
    : fail('KEY_BLOCKLIST', `${path}: ${blocked.error.message}`, { cause: blocked.error });
}
