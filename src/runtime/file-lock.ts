import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from './atomic-file.ts';

/** LOCK_EX | LOCK_NB of flock(2), the same on Linux and macOS. */
const LOCK_EXCLUSIVE_NOW = 2 | 4;

let flock: ((fd: number, operation: number) => number) | undefined;

/** A lock that this process holds. */
export interface FileLock {
  /** Lets the lock go; calling it again does nothing. */
  release(): void;
}

/**
 * Takes the exclusive lock of a file, made 0600 if absent. The kernel lets it go when the process
 * ends, however it ends, so a kill -9 leaves nothing to clean up; the file itself stays, since
 * removing it would let two processes hold two locks of the same name. Fails with DATA_DIR_LOCKED
 * when another process has it, naming its pid.
 */
export function lockFile(path: string): Result<FileLock> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    return fail('DATA_DIR_UNUSABLE', `${path} cannot be opened (${errnoCode(error)})`, {
      cause: error,
    });
  }
  const errno = tryLock(fd);
  if (errno !== 0) return refuse(path, fd, errno);
  noteHolder(fd);
  return ok(heldLock(fd));
}

/** For people and for the refusal above; nothing decides by it, so a full disk does not matter. */
function noteHolder(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch {
    // The lock is held all the same.
  }
}

function tryLock(fd: number): number {
  flock ??= koffi.load(null).func('int flock(int, int)');
  return flock(fd, LOCK_EXCLUSIVE_NOW) === 0 ? 0 : koffi.errno();
}

function refuse(path: string, fd: number, errno: number): Result<FileLock> {
  const holder = Buffer.alloc(16);
  const length = readSync(fd, holder, 0, holder.length, 0);
  closeSync(fd);
  if (errno !== osConstants.errno.EWOULDBLOCK) {
    return fail('DATA_DIR_UNUSABLE', `${path} cannot be locked (errno ${errno})`);
  }
  const pid = /^[0-9]+/.exec(holder.toString('latin1', 0, length))?.[0];
  return fail('DATA_DIR_LOCKED', `${path} is held by process ${pid ?? 'unknown'}`);
}

function heldLock(fd: number): FileLock {
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      closeSync(fd);
    },
  };
}
