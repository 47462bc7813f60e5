import type {
  handleBidiStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
} from '@grpc/grpc-js';
import { SignetError, toSignetError } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import { AnswerStream, type CallHost, OpenCall, wireStatus } from './call.ts';
import { requestsOf } from './requests.ts';
import {
  type BidiHandler,
  type CallGuard,
  type Connection,
  Encoded,
  type MethodShape,
  type ServerStreamHandler,
  type ServiceShape,
  type UnaryHandler,
} from './service.ts';

/** What methods need of their host. */
export interface MethodHost extends CallHost {
  /** The connection that a call came on; undefined when it has ended. */
  connectionOf(call: WireCall): Connection | undefined;
  /** Counts the call in, or refuses it (shutdown). */
  opened(call: OpenCall): SignetError | undefined;
  /** The first answer of a call is about to leave. */
  answered(call: OpenCall): void;
}

/** What every kind of grpc-js call offers. */
export interface WireCall {
  readonly metadata: Metadata;
  getPeer(): string;
  on(event: 'cancelled', listener: () => void): unknown;
}

/**
 * A request that is not decoded yet. grpc-js holds on to it until its call ends, for days where a
 * stream stays open: its bytes go when they are decoded.
 */
class RawRequest {
  #bytes: Buffer | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The bytes, once. */
  take(): Buffer {
    const bytes = this.#bytes ?? Buffer.alloc(0);
    this.#bytes = undefined;
    return bytes;
  }
}

type StreamHandler = ServerStreamHandler<unknown, unknown> | BidiHandler<unknown, unknown>;

/**
 * The service as grpc-js takes it. Requests pass through undecoded: guards judge before anything is
 * parsed.
 */
export function wireDefinition(service: ServiceShape): ServiceDefinition {
  const entries = Object.entries(service).map(([name, method]) => [
    name,
    {
      path: method.path,
      requestStream: method.requestStream,
      responseStream: method.responseStream,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => new RawRequest(bytes),
      responseSerialize: serializer(method),
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  ]);
  return Object.fromEntries(entries);
}

function serializer(method: MethodShape): (message: unknown) => Buffer {
  // `Handlers` ties each method's answers to its own type; the map has lost it here.
  const serialize = method.responseSerialize as (message: unknown) => Buffer;
  return (message) => (message instanceof Encoded ? message.bytes : serialize(message));
}

/** A handler as grpc-js calls it. */
export function wireHandler(
  host: MethodHost,
  method: MethodShape,
  handler: unknown,
  guards: readonly CallGuard[],
): UntypedHandleCall {
  // `Handlers` guarantees that the handler is of its method's kind.
  if (!method.responseStream) {
    return unary(host, method, handler as UnaryHandler<unknown, unknown>, guards);
  }
  return streaming(host, method, handler as StreamHandler, guards);
}

function unary(
  host: MethodHost,
  method: MethodShape,
  handler: UnaryHandler<unknown, unknown>,
  guards: readonly CallGuard[],
): handleUnaryCall<RawRequest, unknown> {
  return (wire, callback: sendUnaryData<unknown>) => {
    let answer: unknown;
    const send = (error: SignetError | undefined): void =>
      error === undefined ? callback(null, answer, call?.trailer) : callback(wireStatus(error));
    const call: OpenCall | undefined = begin(host, method, wire, send);
    if (call === undefined) return;
    void settle(call, async () => {
      const verdict = await judge(guards, call);
      if (!verdict.ok) return verdict;
      const request = decode(method, wire.request);
      if (!request.ok) return request;
      const result = await handler(request.value, call);
      if (result.ok) {
        answer = result.value;
        host.answered(call);
      }
      return result;
    });
  };
}

function streaming(
  host: MethodHost,
  method: MethodShape,
  handler: StreamHandler,
  guards: readonly CallGuard[],
): handleBidiStreamingCall<RawRequest, unknown> {
  return (wire) => {
    const send = (error: SignetError | undefined): void => {
      if (error === undefined) wire.end();
      else wire.emit('error', wireStatus(error));
    };
    const call = begin(host, method, wire, send);
    if (call === undefined) return;
    const stream = new AnswerStream<unknown>(call, host, wire, () => host.answered(call));
    const input = method.requestStream ? bidiInput(method, wire, call) : undefined;
    void settle(call, async () => {
      const verdict = await judge(guards, call);
      if (!verdict.ok) return verdict;
      if (input !== undefined) {
        return (handler as BidiHandler<unknown, unknown>)(input, stream, call);
      }
      // grpc-js hands server-streaming calls a stream with the one request on it.
      const one = wire as unknown as ServerWritableStream<RawRequest, unknown>;
      const request = decode(method, one.request);
      if (!request.ok) return request;
      return (handler as ServerStreamHandler<unknown, unknown>)(request.value, stream, call);
    });
  };
}

function begin(
  host: MethodHost,
  method: MethodShape,
  wire: WireCall,
  send: (error: SignetError | undefined) => void,
): OpenCall | undefined {
  const connection = host.connectionOf(wire);
  if (connection === undefined) {
    send(new SignetError('CONNECTION_ENDED', 'the connection of the call has ended'));
    return undefined;
  }
  const facts = { connection, method: method.path, metadata: wire.metadata };
  const call = new OpenCall(host, facts, send);
  wire.on('cancelled', () => call.gone());
  const refusal = host.opened(call);
  if (refusal === undefined) return call;
  call.finish(refusal);
  return undefined;
}

/** Runs a call's work and ends the call with its result, whatever happens in it. */
async function settle(call: OpenCall, work: () => Promise<Result<unknown>>): Promise<void> {
  try {
    const result = await work();
    call.finish(result.ok ? undefined : result.error);
  } catch (thrown) {
    call.finish(toSignetError(thrown, `handling ${call.method}`));
  }
}

async function judge(guards: readonly CallGuard[], call: OpenCall): Promise<Result<void>> {
  for (const guard of guards) {
    const verdict = guard(call);
    const settled = verdict instanceof Promise ? await verdict : verdict;
    if (!settled.ok) return settled;
  }
  return { ok: true, value: undefined };
}

function decode(method: MethodShape, request: RawRequest): Result<unknown> {
  try {
    return { ok: true, value: method.requestDeserialize(request.take()) };
  } catch (cause) {
    const message = `request of ${method.path} is not valid protobuf`;
    return { ok: false, error: new SignetError('REQUEST_MALFORMED', message, { cause }) };
  }
}

function bidiInput(
  method: MethodShape,
  wire: ServerDuplexStream<RawRequest, unknown>,
  call: OpenCall,
): AsyncIterable<unknown> {
  const onEnd = (action: () => void): void => call.onEnd(action);
  return requestsOf(wire, onEnd, (raw: RawRequest) => {
    const request = decode(method, raw);
    if (request.ok) return request.value;
    call.finish(request.error);
    return undefined;
  });
}
