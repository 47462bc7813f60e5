import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { errnoCode } from '../../../src/runtime/atomic-file.ts';
import { MAX_EVENT_LOG_BYTES } from '../../../src/tpm/event-log.ts';

/**
 * The event log of this boot. The kernel's file says that it has no bytes, so it is read to its end. Fails
 * with AGENT_TPM_FILES.
 */
export async function readEventLog(path: string): Promise<Result<Uint8Array>> {
  let handle: FileHandle | undefined;
  try {
    // Not blocking, so that a FIFO in the file's place cannot hold the agent up.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = await readToEnd(handle);
    if (log.length === 0) return unusable(`${path} is empty`);
    if (log.length > MAX_EVENT_LOG_BYTES) {
      return unusable(`${path} has more than ${MAX_EVENT_LOG_BYTES} bytes`);
    }
    return ok(log);
  } catch (cause) {
    return unusable(`${path} cannot be read (${errnoCode(cause)})`);
  } finally {
    await handle?.close();
  }
}

/** All of a file, or one byte more than is taken. */
async function readToEnd(handle: FileHandle): Promise<Uint8Array> {
  const buffer = Buffer.alloc(MAX_EVENT_LOG_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

function unusable(why: string): Result<never> {
  return fail('AGENT_TPM_FILES', `eventLogPath: ${why}`);
}
