import { lstatSync } from 'node:fs';
import type { ErrorCode } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';

/**
 * Whether what listens on a Unix socket may be believed: it is root's or of the agent's own user. Who
 * may make a socket at the path of another could state any fact about any container.
 *
 * @param code What a refusal is called.
 */
export function checkSocketOwner(path: string, code: ErrorCode): Result<void> {
  try {
    const stats = lstatSync(path);
    if (!stats.isSocket()) return fail(code, `${path} is no socket`);
    if (stats.uid === 0 || stats.uid === process.geteuid?.()) return ok(undefined);
    return fail(code, `${path} belongs to uid ${stats.uid}, not to root`);
  } catch (cause) {
    return fail(code, `${path} cannot be used (${errnoCode(cause)})`, { cause });
  }
}
