import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import { SignetError } from '../../src/base/errors.ts';
import { type Random, randomFraction } from '../../src/base/random.ts';
import type {
  ConnectorClient,
  ConnectorMessage,
  Heartbeat,
  Hello,
  ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { createRateLimiter, type RateLimiter } from '../../src/rpc/rate-limiter.ts';
import { beginCall, serverError } from '../attestation/server-call.ts';

/** How long the last words have to leave, in milliseconds. */
const LAST_WORDS_MS = 2000;

/** How long a server may take for its Welcome, in milliseconds. */
const WELCOME_MS = 30_000;

/** Words that cost the server nothing and the connector something: commands, notices, pings, Welcomes. */
const WORDS = { perSecond: 5, burst: 300 };

/** What a session needs. */
export interface SessionParts {
  readonly client: ConnectorClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly hello: Hello;
  readonly heartbeat: () => Promise<Heartbeat>;
  /** Handles a message; the next one waits for it. Must not reject. */
  readonly onMessage: (message: ServerMessage, session: Session) => Promise<void>;
}

/** A kind of message to the server. */
export type ConnectorKind = NonNullable<ConnectorMessage['kind']>;

type Stream = ClientDuplexStream<ConnectorMessage, ServerMessage>;

/**
 * One session with a server: Hello, then messages in order until either side ends it. Opening → up, once
 * the server has welcomed it → ended.
 */
export class Session {
  readonly #parts: SessionParts;
  #stream: Stream | undefined;
  #cancelBeat: Cancel = () => {};
  #cancelEnd: Cancel = () => {};
  #cancelWelcome: Cancel = () => {};
  readonly #words: RateLimiter;
  #beating: Promise<void> | undefined;
  #broken: SignetError | undefined;
  #heartbeatMs = 0;
  #ended = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#words = createRateLimiter({ limit: WORDS, clock: parts.clock });
  }

  /** Whether the server has welcomed it, and it has not ended. */
  get up(): boolean {
    return this.wasUp && !this.#ended;
  }

  /** Whether the server has welcomed it, be it over or not. */
  get wasUp(): boolean {
    return this.#heartbeatMs > 0;
  }

  /** Follows the session to its end. Answers why it ended; undefined when either side ended it in order. */
  async run(): Promise<SignetError | undefined> {
    const begun = beginCall((): Stream => this.#parts.client.session());
    if (!begun.ok) return begun.error;
    const stream = begun.value;
    this.#stream = stream;
    // Told by the iteration; unheard, one that comes after it would end the process.
    stream.on('error', () => {});
    this.send({ $case: 'hello', value: this.#parts.hello });
    this.#cancelWelcome = this.#parts.clock.after(WELCOME_MS, () =>
      this.#breakOff(`no Welcome came within ${WELCOME_MS / 1000} s`),
    );
    try {
      for await (const message of stream as AsyncIterable<ServerMessage>) {
        if (this.#isTooMuch(message)) this.#breakOff('more words came than any server has');
        if (this.#broken !== undefined) break;
        await this.#parts.onMessage(message, this);
      }
      return this.#broken;
    } catch (cause) {
      if (this.#broken !== undefined) return this.#broken;
      return isServiceError(cause)
        ? serverError(cause)
        : new SignetError('AGENT_SERVER_UNAVAILABLE', 'the session broke off', { cause });
    } finally {
      this.#ended = true;
      this.#cancelBeat();
      this.#cancelEnd();
      this.#cancelWelcome();
      stream.cancel();
    }
  }

  /** Begins to send heartbeats: the server has welcomed the session. */
  welcomed(heartbeatSeconds: number): void {
    this.#cancelWelcome();
    this.#heartbeatMs = Math.min(Math.max(heartbeatSeconds, 1), 3600) * 1000;
    this.#scheduleBeat();
  }

  /** Sends a message; nothing happens once the session has ended. */
  send(kind: ConnectorKind): void {
    if (!this.#ended && this.#stream?.writable === true) this.#stream.write({ kind });
  }

  /** Sends a heartbeat now; one that is being made is it, since it says how things stand at its end. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  /** Ends the session after what was sent has left. */
  end(): void {
    if (this.#ended || this.#stream === undefined) return;
    this.#stream.end();
    this.#cancelEnd = this.#parts.clock.after(LAST_WORDS_MS, () => this.#stream?.cancel());
  }

  /** Breaks the session off. */
  abort(): void {
    this.#stream?.cancel();
  }

  async #beat(): Promise<void> {
    const value = await this.#parts.heartbeat();
    this.send({ $case: 'heartbeat', value });
  }

  #isTooMuch({ kind }: ServerMessage): boolean {
    const isAnswered =
      kind?.$case === 'svid' || kind?.$case === 'bundle' || kind?.$case === 'segments';
    return !isAnswered && !this.#words.take('');
  }

  #breakOff(problem: string): void {
    this.#broken = new SignetError('COMPANION_SERVER_ANSWER', `the session: ${problem}`);
    this.#stream?.cancel();
  }

  #scheduleBeat(): void {
    this.#cancelBeat();
    const { clock, random } = this.#parts;
    // Never later than told: three that are missed make a connector lost.
    const delayMs = this.#heartbeatMs * (0.8 + 0.2 * randomFraction(random));
    this.#cancelBeat = clock.after(delayMs, () => {
      if (this.#ended) return;
      void this.beat();
      this.#scheduleBeat();
    });
  }
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && 'details' in thrown && 'metadata' in thrown;
}
