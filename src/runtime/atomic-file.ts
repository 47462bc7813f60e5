import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Failed, Result } from '../base/result.ts';
import { fail, ok } from '../base/result.ts';

const TEMPORARY = /^\.[^/]+\.[0-9]+-[0-9]+\.tmp$/;

let lastTemporary = 0;

/** How {@link writeFileAtomic} writes. */
export interface AtomicWriteOptions {
  /** Mode of the file; 0600 unless told. */
  readonly mode?: number;
}

/**
 * Replaces a file so that a reader, or a restart after a crash at any point, finds the old bytes or
 * the new ones, never a part. Answers when the bytes and the name are durable. Fails with DISK_FULL
 * or FILE_UNWRITABLE, the old file then being untouched.
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array,
  options: AtomicWriteOptions = {},
): Promise<Result<void>> {
  const temporary = temporaryName(path);
  try {
    await writeDurably(temporary, bytes, options.mode ?? 0o600);
    // A crash before this line leaves the old file and a temporary one that the next start removes.
    await rename(temporary, path);
    // The name is durable only once its directory is: without this a crash could bring back the old.
    await syncDirectory(dirname(path));
    return ok(undefined);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    return writeFailure(path, error);
  }
}

/**
 * Bytes of a file, or undefined where there is none. Larger than `maxBytes`, not a regular file or
 * not readable: FILE_UNREADABLE.
 */
export async function readFileIfPresent(
  path: string,
  maxBytes: number,
): Promise<Result<Uint8Array | undefined>> {
  let handle: FileHandle | undefined;
  try {
    // Not blocking, so that a FIFO in the file's place cannot hold the process up.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    if (size > maxBytes) {
      return fail('FILE_UNREADABLE', `${path} has ${size} bytes, more than ${maxBytes}`);
    }
    return ok(await readAtMost(handle, path, maxBytes));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return ok(undefined);
    return fail('FILE_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
      cause: error,
    });
  } finally {
    await handle?.close();
  }
}

/** Removes a file; well where there is none. Fails with FILE_UNWRITABLE. */
export async function removeFile(path: string): Promise<Result<void>> {
  try {
    await rm(path, { force: true });
    return ok(undefined);
  } catch (error) {
    return writeFailure(path, error);
  }
}

/** Removes what interrupted writes left in a directory that no other process writes to. */
export async function removeStaleTemporaries(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  await Promise.all(
    names
      .filter((name) => TEMPORARY.test(name))
      .map((name) => unlink(join(directory, name)).catch(() => {})),
  );
}

/** The code of a system error such as `ENOENT`, or `unknown`. */
export function errnoCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'unknown';
}

/** The refusal that a failed write stands for: DISK_FULL or FILE_UNWRITABLE. */
export function writeFailure(path: string, error: unknown): Failed {
  const code = errnoCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return fail('DISK_FULL', `${path} cannot be written: no space left (${code})`, {
      cause: error,
    });
  }
  return fail('FILE_UNWRITABLE', `${path} cannot be written (${code})`, { cause: error });
}

async function readAtMost(handle: FileHandle, path: string, maxBytes: number): Promise<Uint8Array> {
  const stat = await handle.stat();
  if (!stat.isFile())
    throw Object.assign(new TypeError(`${path} is no file`), { code: 'ENOTFILE' });
  const buffer = Buffer.alloc(Math.min(stat.size, maxBytes));
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

function temporaryName(path: string): string {
  lastTemporary += 1;
  return join(dirname(path), `.${basename(path)}.${process.pid}-${lastTemporary}.tmp`);
}

async function writeDurably(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    // The umask may have taken bits away, or the mode asked for may be wider than it.
    await handle.chmod(mode);
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Answers when the names in a folder are durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
