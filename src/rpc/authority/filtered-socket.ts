import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Cancel, Clock } from '../../base/clock.ts';
import { AuthorityFilter } from './filter.ts';

/** What a filtered socket needs. */
export interface FilteredSocketOptions {
  readonly socket: Socket;
  readonly clock: Clock;
  /** What the client has sent already. */
  readonly early: readonly Buffer[];
  /** A SETTINGS frame of ours went out: its ACK is not passed on. */
  readonly swallowAck: boolean;
  /** Time for a preface, frame header or header block once begun, in milliseconds. */
  readonly partialFrameMs: number;
  /** The time has passed. */
  readonly onTimeout: () => void;
}

/** A socket whose incoming bytes pass an {@link AuthorityFilter}; what is written goes out as it is. */
export class FilteredSocket extends Duplex {
  readonly #options: FilteredSocketOptions;
  readonly #socket: Socket;
  readonly #filter: AuthorityFilter;
  #full = false;
  #timer: Cancel | undefined;

  constructor(options: FilteredSocketOptions) {
    // Half-open here: nghttp2 says when it has nothing more to send.
    super({ allowHalfOpen: true });
    const { socket } = options;
    this.#options = options;
    this.#socket = socket;
    this.#filter = new AuthorityFilter((bytes) => {
      if (!this.push(bytes)) this.#full = true;
    }, options.swallowAck);
    for (const chunk of options.early) this.#filter.push(chunk);
    this.#watch();
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    if (this.#full) socket.pause();
    else socket.resume();
  }

  override _read(): void {
    this.#full = false;
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: unknown, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.cork();
    for (const [index, { chunk }] of chunks.entries()) {
      if (index < chunks.length - 1) this.#socket.write(chunk);
      else this.#socket.write(chunk, done);
    }
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#timer?.();
    this.#filter.stop();
    this.#socket.destroy();
    done(error);
  }

  #onData(chunk: Buffer): void {
    this.#filter.push(chunk);
    this.#watch();
    if (this.#full) this.#socket.pause();
  }

  /** Keeps a timer running while the client is in the middle of something that it must finish. */
  #watch(): void {
    if (!this.#filter.midFrame) {
      this.#timer?.();
      this.#timer = undefined;
    } else {
      this.#timer ??= this.#options.clock.after(this.#options.partialFrameMs, () =>
        this.#options.onTimeout(),
      );
    }
  }
}
