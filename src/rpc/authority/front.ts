import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Cancel, Clock } from '../../base/clock.ts';
import { examine } from './examine.ts';
import { FilteredSocket } from './filtered-socket.ts';
import { EMPTY_SETTINGS } from './frames.ts';

/** How long a client that spoke HTTP/2 may take to its first request before it gets the filter. */
const FIRST_REQUEST_MS = 500;
/** Chunks and bytes after which examining again is not worth it. */
const MAX_CHUNKS = 16;
const MAX_BYTES = 32 * 1024;

/** What a front needs. */
export interface FrontOptions {
  readonly socket: Socket;
  readonly clock: Clock;
  /** Time for the preface, and for any frame header or header block once begun. */
  readonly handshakeTimeoutMs: number;
  /** Takes the transport: the socket itself, or a Duplex around it. Called at most once. */
  readonly onTransport: (transport: Duplex) => void;
  /** The socket is about to be destroyed for the client's slowness. */
  readonly onTimeout: () => void;
}

/**
 * Looks at a client's first request. A good one: the socket itself goes on, which is as cheap as no
 * shim; a later bad request on it is nghttp2's to reset. Anything else goes on behind the filter.
 *
 * Clients that send no request before the server's SETTINGS are sent an empty one; its ACK is left
 * out, since nghttp2 will send its own and await one ACK.
 */
export function openFront(options: FrontOptions): void {
  new Front(options).start();
}

class Front {
  readonly #options: FrontOptions;
  readonly #chunks: Buffer[] = [];
  readonly #onData = (chunk: Buffer): void => this.#take(chunk);
  readonly #onClose = (): void => this.#timer();
  #size = 0;
  #greeted = false;
  #timer: Cancel;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#timer = this.#after(options.handshakeTimeoutMs, () => this.#timeOut());
  }

  start(): void {
    this.#options.socket.on('data', this.#onData);
    this.#options.socket.once('close', this.#onClose);
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const [only] = this.#chunks;
    const all = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks);
    const verdict = examine(all, this.#greeted);
    if (verdict.kind === 'native') this.#goNative(verdict.bytes);
    else if (verdict.kind === 'filter' || this.#isTooMuch()) this.#goFiltered();
    else if (verdict.greets && !this.#greeted) this.#greet();
  }

  #isTooMuch(): boolean {
    return this.#chunks.length >= MAX_CHUNKS || this.#size >= MAX_BYTES;
  }

  #greet(): void {
    this.#greeted = true;
    this.#options.socket.write(EMPTY_SETTINGS);
    this.#timer();
    this.#timer = this.#after(FIRST_REQUEST_MS, () => this.#goFiltered());
  }

  #goNative(bytes: Buffer): void {
    const { socket } = this.#options;
    this.#leave();
    socket.pause();
    socket.unshift(bytes);
    this.#options.onTransport(socket);
  }

  #goFiltered(): void {
    const { socket, clock, handshakeTimeoutMs } = this.#options;
    this.#leave();
    const filtered = new FilteredSocket({
      socket,
      clock,
      early: this.#chunks,
      swallowAck: this.#greeted,
      partialFrameMs: handshakeTimeoutMs,
      onTimeout: () => this.#timeOut(),
    });
    this.#options.onTransport(filtered);
  }

  #timeOut(): void {
    this.#options.onTimeout();
    this.#options.socket.destroy();
  }

  #leave(): void {
    this.#timer();
    this.#options.socket.off('data', this.#onData);
    this.#options.socket.off('close', this.#onClose);
  }

  #after(delayMs: number, action: () => void): Cancel {
    return this.#options.clock.after(delayMs, action);
  }
}
