import { type FileHandle, open } from 'node:fs/promises';

/** Most that is read of such a file, in bytes: they hold a line. */
const MAX_BYTES = 256;

/**
 * The line that a file below /proc or /sys holds, trimmed; undefined where it cannot be read, is empty or
 * longer than 256 bytes. What such a file states as its size is not how much it holds.
 */
export async function readKernelFile(path: string): Promise<string | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_BYTES + 1), 0, MAX_BYTES + 1);
    const text = buffer.toString('latin1', 0, bytesRead).trim();
    return text === '' || bytesRead > MAX_BYTES ? undefined : text;
  } catch {
    return undefined;
  } finally {
    await handle?.close();
  }
}
