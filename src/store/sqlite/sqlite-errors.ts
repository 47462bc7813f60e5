import type { ErrorCode } from '../../base/errors.ts';
import { type Failed, fail } from '../../base/result.ts';

/** Primary result codes of SQLite (sqlite.org/rescode.html) that operators can do something about. */
const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [5, 'STORE_LOCKED'],
  [6, 'STORE_LOCKED'],
  [8, 'STORE_READ_ONLY'],
  [10, 'STORE_IO'],
  [11, 'STORE_CORRUPT'],
  [13, 'STORE_FULL'],
  [14, 'STORE_UNUSABLE'],
  [26, 'STORE_FOREIGN'],
]);

/** The refusal that stands for something thrown by SQLite. */
export function sqliteFailure(thrown: unknown, doing: string): Failed {
  const result = resultCode(thrown);
  const code = result === undefined ? undefined : CODES.get(result & 0xff);
  const text = thrown instanceof Error ? thrown.message : 'unknown failure';
  return fail(code ?? 'STORE_FAILED', `${doing} failed: ${text}`, { cause: thrown });
}

/** Whether the operating system failed to make something durable (SQLITE_IOERR_FSYNC, _DIR_FSYNC). */
export function isFsyncFailure(thrown: unknown): boolean {
  const result = resultCode(thrown);
  return result === 1034 || result === 1290;
}

/** Extended result code, where the thing thrown came from SQLite. */
function resultCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) return undefined;
  return typeof thrown.errcode === 'number' ? thrown.errcode : undefined;
}
