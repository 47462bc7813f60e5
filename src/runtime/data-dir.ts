import { mkdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode, removeStaleTemporaries } from './atomic-file.ts';
import { lockFile } from './file-lock.ts';

/** Name of the lock file in a data directory. */
export const LOCK_FILE = 'lock';

/** A directory for one process's durable state, held by this process alone. */
export interface DataDir {
  /** Absolute, links resolved. */
  readonly path: string;
  /** Lets another process have it; calling it again does nothing. */
  release(): void;
}

/**
 * Opens a data directory for this process alone. Made 0700 with its parents if absent; refused when
 * it belongs to another user or others may write to it (DATA_DIR_UNSAFE), or another process has it
 * (DATA_DIR_LOCKED). What interrupted writes left in it is removed.
 */
export async function openDataDir(path: string): Promise<Result<DataDir>> {
  const checked = prepareDirectory(path);
  if (!checked.ok) return checked;
  const lock = lockFile(join(checked.value, LOCK_FILE));
  if (!lock.ok) {
    if (lock.error.code !== 'DATA_DIR_LOCKED') return lock;
    return fail('DATA_DIR_LOCKED', `data directory ${path} is in use: ${lock.error.message}`);
  }
  // Only now: before the lock these could be another process's writes under way.
  await removeStaleTemporaries(checked.value);
  return ok({ path: checked.value, release: lock.value.release });
}

function prepareDirectory(path: string): Result<string> {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const real = realpathSync(path);
    const problem = unsafe(statSync(real));
    if (problem !== undefined) {
      return fail('DATA_DIR_UNSAFE', `data directory ${path} ${problem}`);
    }
    return ok(real);
  } catch (error) {
    return fail(
      'DATA_DIR_UNUSABLE',
      `data directory ${path} cannot be used (${errnoCode(error)})`,
      {
        cause: error,
      },
    );
  }
}

function unsafe(stats: Stats): string | undefined {
  if (!stats.isDirectory()) return 'is not a directory';
  const uid = process.geteuid?.();
  if (uid !== undefined && stats.uid !== uid) {
    return `belongs to uid ${stats.uid}, but this process runs as uid ${uid}`;
  }
  if ((stats.mode & 0o022) !== 0) {
    return `has mode ${(stats.mode & 0o777).toString(8).padStart(4, '0')}: others may write to it`;
  }
  return undefined;
}
