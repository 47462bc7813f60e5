import { type CallOptions, type ClientReadableStream, Metadata, status } from '@grpc/grpc-js';
import type { SignetError } from '../base/errors.ts';
import type { CallError } from '../client/remote-error.ts';
import {
  ConnectorAdminClient,
  type ConnectorChange,
  type ListConnectorsRequest,
} from '../gen/signet/connector/v1/admin.ts';
import { remoteError } from './remote.ts';
import type { ServerConnection } from './server-connection.ts';
import type { CliIo } from './spec.ts';

/** How long until a server that went away is asked again, in milliseconds. */
const AGAIN_MS = 1000;

/** What a watch is told. */
export interface FollowEvents {
  /** One change; answers whether to go on. */
  readonly onChange: (change: ConnectorChange) => boolean;
  /** The server went away; it is asked again, and tells the beginning anew. */
  readonly onLost: (error: SignetError) => void;
}

/**
 * Follows connectors until told to stop, the user interrupts or the server refuses. A server that never
 * answered is a refusal too; one that did is asked again. Answers with the refusal, if any.
 */
export async function followConnectors(
  server: ServerConnection,
  io: CliIo,
  filter: Pick<ListConnectorsRequest, 'group' | 'states'>,
  events: FollowEvents,
): Promise<SignetError | undefined> {
  const client = server.client(ConnectorAdminClient);
  const request = { ...filter, pageSize: 0, pageToken: '' };
  let answered = false;
  while (!io.signal.aborted) {
    const options: Partial<CallOptions> = {};
    const call = client.watchConnectors(request, new Metadata(), options);
    const ended = await readUntilEnd(call, io.signal, (change) => {
      answered = true;
      return events.onChange(change);
    });
    if (ended === 'stopped') return undefined;
    const error = remoteError('following connectors', ended, server.settings);
    if (!answered || ended.code !== status.UNAVAILABLE) return error;
    events.onLost(error);
    await pause(AGAIN_MS, io.signal);
  }
  return undefined;
}

function readUntilEnd(
  call: ClientReadableStream<ConnectorChange>,
  signal: AbortSignal,
  onChange: (change: ConnectorChange) => boolean,
): Promise<CallError | 'stopped'> {
  const { promise, resolve } = Promise.withResolvers<CallError | 'stopped'>();
  const stop = (): void => {
    resolve('stopped');
    call.cancel();
  };
  signal.addEventListener('abort', stop, { once: true });
  call.on('data', (change: ConnectorChange) => {
    if (!onChange(change)) stop();
  });
  call.on('error', (error: CallError) => resolve(error));
  // A server that stops ends its streams without a word.
  call.on('end', () =>
    resolve({ code: status.UNAVAILABLE, details: 'the server ended the stream' }),
  );
  if (signal.aborted) stop();
  return promise.finally(() => signal.removeEventListener('abort', stop));
}

/** Waits, less long where `signal` says so. Keeps the process alive: between two calls nothing else would. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise.finally(() => clearTimeout(timer));
}
