import type { Metadata } from '@grpc/grpc-js';
import type { Result } from '../base/result.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { Certificate } from '../x509/types.ts';

/** A process at the other end of a Unix socket, as the kernel states it. */
export interface PeerProcess {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Whether that very process still lives: by pidfd, or by start time where the kernel has none. */
  isAlive(): boolean;
}

/** Who is at the other end of a connection. */
export type Peer =
  | { readonly kind: 'process'; readonly process: PeerProcess }
  /** TCP without a client certificate. */
  | { readonly kind: 'anonymous' }
  /** TCP with a client certificate whose chain our validator accepted. */
  | { readonly kind: 'svid'; readonly id: SpiffeId; readonly chain: readonly Certificate[] };

/** One accepted connection. */
export interface Connection {
  readonly id: string;
  /** IP address, or `unix`. */
  readonly remoteAddress: string;
  readonly peer: Peer;
  /** Room for what a service learns about the connection's peer (attested selectors, …). */
  readonly memo: Map<symbol, unknown>;
  /** Ends the connection and its calls. */
  close(): void;
  /** Calls `action` once when the connection has ended, at once if it has. */
  onClose(action: () => void): void;
  /**
   * Exempts the connection from the limit of its age until the answer is called (push streams).
   * Calling the answer again does nothing.
   */
  holdOpen(): () => void;
}

/** What a handler knows about its call. */
export interface CallContext {
  readonly connection: Connection;
  /** `/package.Service/Method`. */
  readonly method: string;
  readonly metadata: Metadata;
  /** Aborts when the caller cancels or the connection ends. */
  readonly signal: AbortSignal;
  /** Sends a line of ASCII with the answer of a unary call, as its trailer {@link NOTE_KEY}. */
  note(text: string): void;
  /** What a guard left for the handler of the same call: who calls, once judged. */
  judged: unknown;
}

/** Trailer with what the caller should know besides the answer, for operators to read. */
export const NOTE_KEY = 'signet-note';

/** Response bytes that were encoded once and are shared by many calls. */
export class Encoded {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/**
 * A stream of answers. A slow reader is the handler's to notice: `write` answers false while two or
 * more messages wait to leave. Writing after the call's end does nothing.
 */
export interface ResponseStream<Res> {
  write(message: Res | Encoded): boolean;
  /** Resolves when everything written has left, or the call has ended. */
  drained(): Promise<void>;
}

/** Handler of a unary RPC. */
export type UnaryHandler<Req, Res> = (
  request: Req,
  context: CallContext,
) => Promise<Result<Res | Encoded>> | Result<Res | Encoded>;

/**
 * Handler of a server-streaming RPC: writes until its promise resolves. A value ends the stream with
 * OK, a refusal with its status.
 */
export type ServerStreamHandler<Req, Res> = (
  request: Req,
  stream: ResponseStream<Res>,
  context: CallContext,
) => Promise<Result<void>>;

/** Handler of a bidirectional RPC. The requests end when the caller half-closes or goes. */
export type BidiHandler<Req, Res> = (
  requests: AsyncIterable<Req>,
  stream: ResponseStream<Res>,
  context: CallContext,
) => Promise<Result<void>>;

/** One method of a generated service definition. */
export interface MethodShape {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  /** Takes the method's own response type; `never` lets every generated one in. */
  readonly responseSerialize: (message: never) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

/** A generated service definition. */
export type ServiceShape = Readonly<Record<string, MethodShape>>;

type RequestOf<M extends MethodShape> = ReturnType<M['requestDeserialize']>;
type ResponseOf<M extends MethodShape> = ReturnType<M['responseDeserialize']>;

/** One handler for each method of a generated service definition. */
export type Handlers<S extends ServiceShape> = {
  readonly [K in keyof S]: S[K]['responseStream'] extends true
    ? S[K]['requestStream'] extends true
      ? BidiHandler<RequestOf<S[K]>, ResponseOf<S[K]>>
      : ServerStreamHandler<RequestOf<S[K]>, ResponseOf<S[K]>>
    : UnaryHandler<RequestOf<S[K]>, ResponseOf<S[K]>>;
};

/**
 * Judges a call before its handler runs (policy, security header, rate limit): a refusal ends the call
 * with its status and details.
 */
export type CallGuard = (context: CallContext) => Result<void> | Promise<Result<void>>;
