import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import type { Store } from '../store/store.ts';
import type { View } from './view.ts';

/** Changes read at once. */
const BATCH = 1000;

/** Waits after a failed read, doubling. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

/** What a follower stands on. */
export interface FollowerOptions {
  readonly store: Pick<Store, 'onWake' | 'changesAfter' | 'loadSnapshot'>;
  readonly view: View;
  readonly clock: Clock;
  /** Told of every failed read. */
  readonly onFault: (error: SignetError) => void;
  /** Called after the view moved on. */
  readonly onApplied: () => void;
}

/**
 * Follows the change feed: one read at a time, each for all the wakes before it. A failed read is
 * repeated until it succeeds; meanwhile the view is as old as {@link stalenessMs} says.
 */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #stopWaking: () => void;
  /** Commits that were heard of. */
  #wakes = 0;
  /** Commits whose changes the view certainly shows. */
  #shown = 0;
  #reading: Promise<Result<void>> | undefined;
  #behindSinceMs: number | undefined;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: Cancel | undefined;
  #started = false;
  #closed = false;

  /** Hears of commits from here on. */
  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#stopWaking = options.store.onWake(() => this.#woken());
  }

  /** Reads from here on, when the view has been loaded; answers when it is up to date. */
  start(): Promise<Result<void>> {
    this.#started = true;
    this.#wakes += 1;
    return this.catchUp();
  }

  /** How long the view has been known to be behind. */
  stalenessMs(): number {
    if (this.#behindSinceMs === undefined) return 0;
    return this.#options.clock.monotonicMs() - this.#behindSinceMs;
  }

  /** Answers when the view shows every commit that was heard of before the call. */
  async catchUp(): Promise<Result<void>> {
    const wanted = this.#wakes;
    while (this.#shown < wanted && !this.#closed) {
      const read = await this.#read();
      if (!read.ok) return read;
    }
    return ok(undefined);
  }

  /** Stops following, after a read under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaking();
    this.#cancelRetry?.();
    await this.#reading;
  }

  #woken(): void {
    this.#wakes += 1;
    this.#behindSinceMs ??= this.#options.clock.monotonicMs();
    if (this.#started) void this.catchUp();
  }

  /** Joins the read under way, or starts one. */
  #read(): Promise<Result<void>> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<Result<void>> {
    const heardOf = this.#wakes;
    const result = await this.#readChanges();
    if (!result.ok) {
      this.#failed(result.error);
      return result;
    }
    this.#shown = heardOf;
    this.#retryMs = FIRST_RETRY_MS;
    this.#behindSinceMs = this.#wakes === heardOf ? undefined : this.#options.clock.monotonicMs();
    return result;
  }

  async #readChanges(): Promise<Result<void>> {
    const { store, view, onApplied } = this.#options;
    for (;;) {
      const changes = await store.changesAfter(view.sequence, BATCH);
      if (!changes.ok) {
        return changes.error.code === 'STORE_FEED_GAP' ? this.#reload() : changes;
      }
      view.apply(changes.value);
      onApplied();
      if (changes.value.length < BATCH) return ok(undefined);
    }
  }

  /** Changes in between are no longer kept: the whole state is read again. */
  async #reload(): Promise<Result<void>> {
    const { store, view, onApplied } = this.#options;
    const snapshot = await store.loadSnapshot();
    if (!snapshot.ok) return snapshot;
    view.load(snapshot.value);
    onApplied();
    return ok(undefined);
  }

  #failed(error: SignetError): void {
    this.#options.onFault(error);
    if (this.#closed) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.clock.after(this.#retryMs, () => void this.catchUp());
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }
}
