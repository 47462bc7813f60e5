import type { Connection, Peer } from './service.ts';

/** What a connection is made of. */
export interface ConnectionOptions {
  readonly id: string;
  readonly remoteAddress: string;
  readonly peer: Peer;
  /** Who the peer is where callers are limited one by one. */
  readonly countedAs: string;
  /** Ends the transport at once. */
  readonly destroy: () => void;
  /** Refuses new calls, lets open ones end for `graceMs`, then ends the transport. */
  readonly drain: (graceMs: number) => void;
}

/**
 * An accepted connection. Open until its transport ends (`ended`, called by the host once); nothing
 * reopens it.
 */
export class LiveConnection implements Connection {
  readonly id: string;
  readonly remoteAddress: string;
  readonly peer: Peer;
  readonly countedAs: string;
  readonly #destroy: () => void;
  readonly #drain: (graceMs: number) => void;
  readonly #closers: (() => void)[] = [];
  #memo: Map<symbol, unknown> | undefined;
  #ended = false;
  #holds = 0;
  #onReleased: (() => void) | undefined;

  constructor(options: ConnectionOptions) {
    this.id = options.id;
    this.remoteAddress = options.remoteAddress;
    this.peer = options.peer;
    this.countedAs = options.countedAs;
    this.#destroy = options.destroy;
    this.#drain = options.drain;
  }

  get memo(): Map<symbol, unknown> {
    this.#memo ??= new Map();
    return this.#memo;
  }

  close(): void {
    this.#destroy();
  }

  /** Sends GOAWAY, lets open calls end for `graceMs` milliseconds, then closes. */
  drain(graceMs: number): void {
    if (!this.#ended) this.#drain(graceMs);
  }

  onClose(action: () => void): void {
    if (this.#ended) action();
    else this.#closers.push(action);
  }

  holdOpen(): () => void {
    let held = true;
    this.#holds++;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      if (this.#holds === 0) this.#releaseAge();
    };
  }

  /** Calls `action` as soon as nothing holds the connection open: at once, or at the last release. */
  whenUnheld(action: () => void): void {
    this.#onReleased = action;
    if (this.#holds === 0) this.#releaseAge();
  }

  /** Tells everyone who waits for the end. */
  ended(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onReleased = undefined;
    for (const action of this.#closers.splice(0)) action();
  }

  #releaseAge(): void {
    const action = this.#onReleased;
    this.#onReleased = undefined;
    action?.();
  }
}
