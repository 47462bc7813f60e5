import { constants, fstatSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import { joinLines } from './file-sink.ts';
import type { AuditSink } from './sink.ts';

/**
 * Lines on a descriptor of the process, 1 unless given. Node's own stdout writes to pipes while
 * everything else waits, so a reader that stops would stop issuance: pipes are written through a
 * socket of ours, anything else by the thread pool. Delivered is what the kernel took.
 */
export function createStdoutSink(fd = 1): AuditSink {
  let out: Output | undefined;
  const letGo = async (): Promise<void> => {
    const open = out;
    out = undefined;
    await open?.close();
  };
  return {
    async deliver(lines, signal) {
      try {
        out ??= await openOutput(fd);
        const written = await out.write(joinLines(lines), signal);
        if (!written.ok) await letGo();
        return written;
      } catch (cause) {
        await letGo();
        return broken(cause);
      }
    },
    reopen: async () => {},
    close: letGo,
  };
}

interface Output {
  write(bytes: Buffer, signal: AbortSignal): Promise<Result<void>>;
  close(): Promise<void> | void;
}

async function openOutput(fd: number): Promise<Output> {
  const kind = fstatSync(fd);
  if (kind.isSocket()) return streamOutput(new Socket({ fd, readable: false, writable: true }));
  const path = `/proc/self/fd/${fd}`;
  if (!kind.isFIFO()) return fileOutput(await open(path, constants.O_WRONLY | constants.O_APPEND));
  // Opened anew, so that not blocking holds for us alone and not for whoever shares the pipe.
  const own = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  return streamOutput(new Socket({ fd: own, readable: false, writable: true }));
}

function fileOutput(handle: FileHandle): Output {
  return {
    async write(bytes) {
      await handle.appendFile(bytes);
      return ok(undefined);
    },
    close: () => handle.close(),
  };
}

function streamOutput(stream: Writable): Output {
  stream.on('error', () => {}); // Each write tells of it too.
  return {
    write(bytes, signal) {
      const { promise, resolve } = Promise.withResolvers<Result<void>>();
      const abort = (): void => resolve(broken(signal.reason));
      signal.addEventListener('abort', abort, { once: true });
      stream.write(bytes, (error) => resolve(error ? broken(error) : ok(undefined)));
      return promise.finally(() => signal.removeEventListener('abort', abort));
    },
    close: () => void stream.destroy(),
  };
}

function broken(cause: unknown): Result<void> {
  const message = `stdout takes nothing (${errnoCode(cause)})`;
  return fail('AUDIT_SINK_UNAVAILABLE', message, { cause });
}
