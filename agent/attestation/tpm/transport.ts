import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';

/** Largest answer of a TPM in bytes. */
const MAX_RESPONSE_BYTES = 4096;

/** Bytes of a response's header: tag, size, code. */
const HEADER_BYTES = 10;

/** Longest wait for one answer: making an RSA key takes a slow TPM half a minute. */
const COMMAND_TIMEOUT_MS = 60_000;

/** What carries commands to a TPM, one at a time. */
export interface TpmTransport {
  /** Sends a command and answers with the whole response. Fails with AGENT_TPM_UNAVAILABLE. */
  exchange(command: Uint8Array): Promise<Result<Buffer>>;
  close(): Promise<void>;
}

/**
 * Opens a TPM: a path of a device such as `/dev/tpmrm0`, `unix:<path>` or `tcp:<host>:<port>` of one in
 * software. Fails with AGENT_TPM_UNAVAILABLE.
 */
export async function openTpm(device: string, clock: Clock): Promise<Result<TpmTransport>> {
  if (device.startsWith('/')) return openDevice(device, clock);
  const tcp = /^tcp:(.+):(\d{1,5})$/.exec(device);
  const target =
    tcp === null
      ? { path: device.slice('unix:'.length) }
      : { host: tcp[1] ?? '', port: Number(tcp[2]) };
  return openSocket(target, device, clock);
}

/** The kernel's resource manager: a write is a command, a read its answer. */
async function openDevice(path: string, clock: Clock): Promise<Result<TpmTransport>> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDWR);
  } catch (cause) {
    return unavailable(`cannot open ${path}`, cause);
  }
  return ok({
    exchange: (command) => inTime(path, clock, () => deviceExchange(handle, path, command)),
    close: () => handle.close().catch(() => undefined),
  });
}

async function deviceExchange(
  handle: FileHandle,
  path: string,
  command: Uint8Array,
): Promise<Result<Buffer>> {
  try {
    await handle.write(command, 0, command.length, null);
    const { bytesRead, buffer } = await handle.read(
      Buffer.alloc(MAX_RESPONSE_BYTES),
      0,
      MAX_RESPONSE_BYTES,
      null,
    );
    return ok(buffer.subarray(0, bytesRead));
  } catch (cause) {
    return unavailable(`${path} failed`, cause);
  }
}

async function openSocket(
  target: { path: string } | { host: string; port: number },
  device: string,
  clock: Clock,
): Promise<Result<TpmTransport>> {
  const socket = connect(target);
  const opened = await new Promise<Result<void>>((resolve) => {
    socket.once('connect', () => resolve(ok(undefined)));
    socket.once('error', (cause) => resolve(unavailable(`cannot reach ${device}`, cause)));
  });
  if (!opened.ok) return opened;
  // Whoever waits hears of the end; an error without a listener would end the process.
  socket.on('error', () => {});
  return ok({
    exchange: (command) => inTime(device, clock, () => socketExchange(socket, device, command)),
    close: async () => {
      socket.destroy();
    },
  });
}

/** A TPM in software gives the bytes of a response as a stream: its header says how many there are. */
function socketExchange(
  socket: Socket,
  device: string,
  command: Uint8Array,
): Promise<Result<Buffer>> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const finish = (result: Result<Buffer>): void => {
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve(result);
    };
    const onClose = (): void => finish(unavailable(`${device} closed the connection`));
    const onData = (bytes: Buffer): void => {
      received = Buffer.concat([received, bytes]);
      if (received.length < HEADER_BYTES) return;
      const size = received.readUInt32BE(2);
      const bad = size < HEADER_BYTES || size > MAX_RESPONSE_BYTES || received.length > size;
      if (bad) finish(unavailable(`${device} answered with ${received.length} of ${size} bytes`));
      else if (received.length === size) finish(ok(received));
    };
    if (socket.destroyed) {
      onClose();
      return;
    }
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.write(command);
  });
}

async function inTime(
  device: string,
  clock: Clock,
  exchange: () => Promise<Result<Buffer>>,
): Promise<Result<Buffer>> {
  const { promise: late, resolve } = Promise.withResolvers<Result<Buffer>>();
  const cancel = clock.after(COMMAND_TIMEOUT_MS, () =>
    resolve(unavailable(`${device} did not answer within ${COMMAND_TIMEOUT_MS / 1000} s`)),
  );
  const answer = await Promise.race([exchange(), late]);
  cancel();
  return answer;
}

function unavailable(what: string, cause?: unknown): Result<never> {
  return fail('AGENT_TPM_UNAVAILABLE', what, { cause });
}
