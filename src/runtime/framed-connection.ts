import { connect, type Socket } from 'node:net';
import { concatBytes } from '../base/bytes.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { Framing } from '../base/framing.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Where to connect to, and how long to wait. */
export interface FramedConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly framing: Framing;
  readonly clock: Clock;
  /** Longest wait for the connection, and for each answer. */
  readonly timeoutMs: number;
  /** Most bytes that are held while an answer is not whole. */
  readonly maxAnswerBytes: number;
}

/** Who waits for the next answer. */
interface Waiting {
  readonly resolve: (answer: Result<Uint8Array>) => void;
  readonly cancelTimeout: Cancel;
}

/**
 * A TCP connection that carries one question and one answer at a time. Anything that is not the answer
 * to a question ends it: bytes that were not asked for, a broken frame, an answer that is late.
 */
export class FramedConnection {
  readonly #socket: Socket;
  readonly #options: FramedConnectionOptions;
  #received: Uint8Array = new Uint8Array();
  #waiting: Waiting | undefined;
  #ended: Result<Uint8Array> | undefined;

  private constructor(socket: Socket, options: FramedConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', (cause) => this.#end(unreachable('the connection broke', cause)));
    socket.on('close', () => this.#end(unreachable('the connection was closed')));
  }

  /** Connects. Errors: SPDM_UNREACHABLE. */
  static open(options: FramedConnectionOptions): Promise<Result<FramedConnection>> {
    const { host, port, clock, timeoutMs } = options;
    const { promise, resolve } = Promise.withResolvers<Result<FramedConnection>>();
    const socket = connect({ host, port });
    const cancel = clock.after(timeoutMs, () => {
      socket.destroy();
      resolve(unreachable(`no connection within ${timeoutMs} ms`));
    });
    const refused = (cause: Error): void => {
      cancel();
      resolve(unreachable('no connection', cause));
    };
    socket.once('error', refused).once('connect', () => {
      cancel();
      socket.off('error', refused);
      resolve(ok(new FramedConnection(socket, options)));
    });
    return promise;
  }

  /**
   * Sends a message and answers with the one that comes back. One at a time: TypeError for a second.
   * Errors: SPDM_UNREACHABLE, SPDM_TOO_LARGE, those of the framing.
   */
  exchange(message: Uint8Array): Promise<Result<Uint8Array>> {
    if (this.#waiting !== undefined) throw new TypeError('an answer is still waited for');
    if (this.#ended !== undefined) return Promise.resolve(this.#ended);
    const framed = this.#options.framing.frame(message);
    if (!framed.ok) return Promise.resolve(framed);
    const { promise, resolve } = Promise.withResolvers<Result<Uint8Array>>();
    const { clock, timeoutMs } = this.#options;
    const cancelTimeout = clock.after(timeoutMs, () =>
      this.#end(unreachable(`no answer within ${timeoutMs} ms`)),
    );
    this.#waiting = { resolve, cancelTimeout };
    this.#socket.write(framed.value);
    return promise;
  }

  /** Says farewell where the framing has one, and closes. */
  close(): void {
    const { farewell } = this.#options.framing;
    if (this.#ended !== undefined) return;
    this.#ended = unreachable('the connection was closed');
    this.#settle(this.#ended);
    if (farewell !== undefined) this.#socket.write(farewell);
    this.#socket.destroySoon();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ended !== undefined) return;
    this.#received = concatBytes([this.#received, bytes]);
    const { framing, maxAnswerBytes } = this.#options;
    if (this.#waiting === undefined) {
      this.#end(fail('SPDM_FRAME', 'device: sends what nobody asked for'));
      return;
    }
    const frame = framing.deframe(this.#received);
    if (!frame.ok) this.#end(frame);
    else if (frame.value !== undefined) this.#answer(frame.value.message, frame.value.bytes);
    else if (this.#received.length > maxAnswerBytes) {
      this.#end(fail('SPDM_TOO_LARGE', `device: an answer above ${maxAnswerBytes} bytes`));
    }
  }

  #answer(message: Uint8Array, frameBytes: number): void {
    if (this.#received.length > frameBytes) {
      this.#end(fail('SPDM_FRAME', 'device: sends more than one answer'));
      return;
    }
    this.#received = new Uint8Array();
    this.#settle(ok(message));
  }

  #end(reason: Result<Uint8Array>): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#settle(reason);
    this.#socket.destroy();
  }

  #settle(answer: Result<Uint8Array>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.cancelTimeout();
    waiting?.resolve(answer);
  }
}

function unreachable(why: string, cause?: unknown) {
  return fail('SPDM_UNREACHABLE', `device: ${why}`, cause === undefined ? {} : { cause });
}
