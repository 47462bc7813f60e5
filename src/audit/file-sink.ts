import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { syncDirectory, writeFailure } from '../runtime/atomic-file.ts';
import type { AuditLine, AuditSink } from './sink.ts';

const NEWLINE = 0x0a;

/** The lines as one text, each with its end. */
export function joinLines(lines: readonly AuditLine[]): Buffer {
  return Buffer.from(lines.map(({ text }) => `${text}\n`).join(''), 'utf8');
}

/**
 * Lines behind each other in a file (0600). A delivery is one write and one fdatasync; the cursor
 * moves after it. A file that was renamed is noticed at the next delivery, which makes a new one.
 */
export function createFileSink(path: string): AuditSink {
  let current: FileHandle | undefined;
  const letGo = async (): Promise<void> => {
    const handle = current;
    current = undefined;
    await handle?.close().catch(() => {});
  };
  // Deliveries and reopening take turns, so that no file is closed under a write.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = turn.then(work);
    turn = done.catch(() => {});
    return done;
  };
  return {
    deliver: (lines) =>
      inTurn(async () => {
        try {
          if (current !== undefined && !(await isStill(current, path))) await letGo();
          current ??= await openForAppending(path);
          await append(current, joinLines(lines));
          return ok(undefined);
        } catch (error) {
          await letGo();
          return writeFailure(path, error);
        }
      }),
    reopen: () => inTurn(letGo),
    close: () => inTurn(letGo),
  };
}

/** Refuses a path that no file can be made at, so that a typing error shows at the start. */
export async function probeFile(path: string): Promise<Result<void>> {
  const folder = await stat(dirname(path)).catch(() => undefined);
  if (folder?.isDirectory() !== true)
    return fail('AUDIT_SETTINGS', `${dirname(path)} is no folder`);
  const there = await stat(path).catch(() => undefined);
  if (there === undefined || there.isFile()) return ok(undefined);
  return fail('AUDIT_SETTINGS', `${path} is no regular file`);
}

async function isStill(handle: FileHandle, path: string): Promise<boolean> {
  const [own, named] = await Promise.all([handle.stat(), stat(path).catch(() => undefined)]);
  return named?.ino === own.ino && named.dev === own.dev;
}

async function openForAppending(path: string): Promise<FileHandle> {
  // Not blocking, so that a FIFO in the file's place cannot hold a thread.
  const { O_RDWR, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
  try {
    const { size } = await handle.stat();
    // A line that a crash tore is ended, so that it spoils no other; it comes again whole.
    if (size > 0 && (await lastByte(handle, size)) !== NEWLINE) await handle.appendFile('\n');
    if (size === 0) await syncDirectory(dirname(path));
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function lastByte(handle: FileHandle, size: number): Promise<number | undefined> {
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0];
}

/** What a full disk took of the lines only in part is cut off again. */
async function append(handle: FileHandle, bytes: Buffer): Promise<void> {
  const { size } = await handle.stat();
  try {
    await handle.appendFile(bytes);
    await handle.datasync();
  } catch (error) {
    await handle.truncate(size).catch(() => {});
    throw error;
  }
}
