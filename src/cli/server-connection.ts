import { isAbsolute, resolve } from 'node:path';
import { ok, type Result } from '../base/result.ts';
import { type ClientConstructor, openUnixChannel, type RpcChannel } from '../rpc/channel.ts';
import { MAX_SOCKET_PATH_BYTES } from '../rpc/unix-path.ts';
import { flagError, timeoutFlag } from './flags.ts';
import { type CallSettings, callUnary, type UnaryCall } from './remote.ts';
import type { CliIo, Input } from './spec.ts';
import { safe } from './text.ts';

/** Where the admin socket is unless said otherwise. */
export const DEFAULT_SERVER_SOCKET = '/run/signet/server/private/api.sock';

const DEFAULT_TIMEOUT_MS = 30_000;

/** Calls to a server over its admin socket. */
export interface ServerConnection {
  readonly address: string;
  readonly settings: CallSettings;
  /** A generated client. */
  client<C>(client: ClientConstructor<C>): C;
  /** One unary call; `doing` stands in front of the message of a refusal. */
  call<Res>(doing: string, call: UnaryCall<Res>): Promise<Result<Res>>;
}

/** Runs `work` with a connection to the server that flags and environment name, and closes it. */
export async function withServer<T>(
  input: Input,
  io: CliIo,
  work: (server: ServerConnection) => Promise<Result<T>>,
): Promise<Result<T>> {
  const timeoutMs = timeoutFlag(input, DEFAULT_TIMEOUT_MS);
  if (!timeoutMs.ok) return timeoutMs;
  const opened = await openServer(input, io);
  if (!opened.ok) return opened;
  const { channel, address } = opened.value;
  try {
    const onNote = (text: string): void => io.err(`note: ${safe(text)}\n`);
    return await work(connectionOf(channel, address, { timeoutMs: timeoutMs.value, onNote }));
  } finally {
    channel.close();
  }
}

interface OpenedServer {
  readonly channel: RpcChannel;
  readonly address: string;
}

async function openServer(input: Input, io: CliIo): Promise<Result<OpenedServer>> {
  const text = input.text('server-socket') ?? io.env.SIGNET_SERVER_SOCKET ?? DEFAULT_SERVER_SOCKET;
  if (text.startsWith('tcp:')) {
    // In a file of its own: what TLS needs takes time to load, and most commands do not.
    const { openServerPort, parseServerPort } = await import('./server-tcp.ts');
    const port = parseServerPort(text);
    if (!port.ok) return port;
    const channel = await openServerPort(port.value, input, io);
    return channel.ok ? ok({ channel: channel.value, address: text }) : channel;
  }
  if (input.text('admin-svid') !== undefined) {
    return flagError(
      'admin-svid',
      'is for --server-socket tcp://host:port; a socket knows its user',
    );
  }
  const path = checkSocketPath(text.replace(/^unix:(\/\/)?(?=\/)/, ''), 'server-socket');
  return path.ok ? ok({ channel: openUnixChannel(path.value), address: path.value }) : path;
}

function connectionOf(
  channel: RpcChannel,
  address: string,
  more: Pick<CallSettings, 'timeoutMs' | 'onNote'>,
): ServerConnection {
  const settings: CallSettings = { peer: 'server', address, ...more };
  return {
    address,
    settings,
    client: (client) => channel.client(client),
    call: (doing, call) => callUnary(doing, call, settings),
  };
}

/** An absolute path that fits a socket address. */
export function checkSocketPath(path: string, flag: string): Result<string> {
  if (path === '') return flagError(flag, 'is empty');
  if (/^[a-z]+:/.test(path))
    return flagError(flag, `"${path.slice(0, 120)}" is no path of a socket`);
  const full = isAbsolute(path) ? path : resolve(path);
  if (Buffer.byteLength(full) > MAX_SOCKET_PATH_BYTES) {
    return flagError(
      flag,
      `${full} is longer than ${MAX_SOCKET_PATH_BYTES} bytes, the limit of Linux`,
    );
  }
  return ok(full);
}
