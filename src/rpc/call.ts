import { Metadata } from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { Status } from '../gen/google/rpc/status.ts';
import {
  type CallContext,
  type Connection,
  type Encoded,
  NOTE_KEY,
  type ResponseStream,
} from './service.ts';
import { statusDetails } from './status.ts';

/** Longest `grpc-message` that is sent, in UTF-16 units. */
const MAX_MESSAGE_LENGTH = 2048;

/** Messages of a stream that may wait to leave before `write` answers false. */
const MAX_UNSENT_MESSAGES = 2;

/** A status as grpc-js takes it, from handlers' callbacks and `error` events. */
export interface WireStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/**
 * The status that a refusal travels with: message, `grpc-status-details-bin` where details were
 * added, the code of the error table in `signet-error-code`, and where the detail `retryAfterMs` says
 * when to come again, that in `signet-retry-after-ms`.
 */
export function wireStatus(error: SignetError): WireStatus {
  const metadata = new Metadata();
  metadata.set('signet-error-code', error.code);
  const { retryAfterMs } = error.details;
  if (retryAfterMs !== undefined) metadata.set('signet-retry-after-ms', String(retryAfterMs));
  // grpc-js percent-encodes the text and throws on lone surrogates.
  const details = error.message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed();
  const added = statusDetails(error);
  if (added.length > 0) {
    const status = Status.encode({
      code: error.status,
      message: details,
      details: added.map(({ typeUrl, bytes }) => ({ typeUrl, value: Buffer.from(bytes) })),
    }).finish();
    metadata.set('grpc-status-details-bin', Buffer.from(status));
  }
  return { code: error.status, details, metadata };
}

/** What a call needs of its host. */
export interface CallHost {
  readonly clock: Clock;
  readonly stalledWriteMs: number;
  /** Called once at the end of the call. */
  ended(call: OpenCall, error: SignetError | undefined): void;
}

/**
 * One call from its arrival to its end. It ends exactly once: by the handler's answer, the caller's
 * going, or the host's shutdown, whichever is first; what comes later is dropped.
 */
export class OpenCall implements CallContext {
  readonly connection: Connection;
  readonly method: string;
  readonly metadata: Metadata;
  readonly startedMs: number;
  judged: unknown = undefined;
  readonly #host: CallHost;
  readonly #send: (error: SignetError | undefined) => void;
  #controller: AbortController | undefined;
  #trailer: Metadata | undefined;
  #gone = false;
  #finished = false;
  #onEnd: (() => void)[] = [];

  /** @param send Puts the end on the wire: OK without an error. */
  constructor(
    host: CallHost,
    facts: { connection: Connection; method: string; metadata: Metadata },
    send: (error: SignetError | undefined) => void,
  ) {
    this.#host = host;
    this.connection = facts.connection;
    this.method = facts.method;
    this.metadata = facts.metadata;
    this.startedMs = host.clock.monotonicMs();
    this.#send = send;
  }

  /** Made when first asked for: most calls end without anybody asking. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#gone) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** What leaves after the answer; most calls have nothing to add. */
  get trailer(): Metadata | undefined {
    return this.#trailer;
  }

  note(text: string): void {
    this.#trailer ??= new Metadata();
    this.#trailer.add(NOTE_KEY, text);
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Answers the caller, once; later calls do nothing. */
  finish(error?: SignetError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#send(error);
    this.#settle(error);
  }

  /** Ends the call from the host's side: the handler is told by the signal. */
  stop(error: SignetError): void {
    if (this.#finished) return;
    this.finish(error);
    this.#abort();
  }

  /** The caller cancelled, its deadline passed or its connection ended: nothing can be sent. */
  gone(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#abort();
    this.#settle(new SignetError('CONNECTION_ENDED', 'caller is gone', { status: 'Cancelled' }));
  }

  /** Calls `action` once at the call's end, at once if it has ended. */
  onEnd(action: () => void): void {
    if (this.#finished) action();
    else this.#onEnd.push(action);
  }

  #abort(): void {
    this.#gone = true;
    this.#controller?.abort();
  }

  #settle(error: SignetError | undefined): void {
    const actions = this.#onEnd;
    this.#onEnd = [];
    for (const action of actions) action();
    this.#host.ended(this, error);
  }
}

/** What an answer leaves by: grpc-js's stream, whose callback says that the message left. */
interface AnswerSink {
  write(message: unknown, left: () => void): boolean;
}

/** The answers of a streaming call, over grpc-js's stream. */
export class AnswerStream<Res> implements ResponseStream<Res> {
  readonly #call: OpenCall;
  readonly #host: CallHost;
  readonly #wire: AnswerSink;
  readonly #first: () => void;
  #unsent = 0;
  #answered = false;
  #waiting: (() => void)[] = [];

  /** @param first Called before the first message. */
  constructor(call: OpenCall, host: CallHost, wire: AnswerSink, first: () => void) {
    this.#call = call;
    this.#host = host;
    this.#wire = wire;
    this.#first = first;
    call.onEnd(() => this.#wake());
  }

  write(message: Res | Encoded): boolean {
    if (this.#call.finished) return true;
    if (!this.#answered) {
      this.#answered = true;
      this.#first();
    }
    this.#unsent++;
    this.#wire.write(message, () => {
      this.#unsent--;
      if (this.#unsent === 0) this.#wake();
    });
    return this.#unsent < MAX_UNSENT_MESSAGES;
  }

  drained(): Promise<void> {
    if (this.#unsent === 0 || this.#call.finished) return Promise.resolve();
    return new Promise((resolve) => {
      // A reader that takes nothing for so long holds memory for nobody: its connection ends.
      const cancel = this.#host.clock.after(this.#host.stalledWriteMs, () =>
        this.#call.connection.close(),
      );
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
