import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, type Result } from '../base/result.ts';
import type { KeptList } from './kept-list.ts';

/** Longest that an act waits for the store before it takes effect without it. */
const STORE_WAIT_MS = 2_000;

/** Waits between attempts to write what is kept to the store, doubling. */
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

/** What became of something that was kept here. */
export type KeptEvent<T> =
  /** The store has it now. */
  | { readonly kind: 'written'; readonly item: T }
  /** The store knows nothing (any more) that it could be said of. */
  | { readonly kind: 'gone'; readonly item: T }
  /** The store, or the file, failed again; another attempt follows. */
  | { readonly kind: 'failed'; readonly error: SignetError; readonly retryMs: number };

/** What writing kept things to the store stands on. */
export interface KeptWriterOptions<T> {
  readonly list: KeptList<T>;
  readonly keyOf: (item: T) => string;
  /** Writes one to the store; answers whether the store knows what it is said of. */
  readonly write: (item: T) => Promise<Result<boolean>>;
  readonly onWake: (wake: () => void) => () => void;
  readonly clock: Clock;
  readonly random: Random;
  /** Answers when the view shows what the store has. */
  readonly catchUp: () => Promise<Result<void>>;
  /** The file let go of one: the view is to show what the store says of it. */
  readonly onLifted?: (key: string) => void;
  readonly onEvent: (event: KeptEvent<T>) => void;
}

/**
 * Offers what is in force here to the store until that has it; only then does the file let go of it. A
 * crash at any point leaves it in the file, in the store or in both, and writing it twice changes
 * nothing.
 */
export class KeptWriter<T> {
  readonly #options: KeptWriterOptions<T>;
  readonly #stopWaking: () => void;
  #flushing: Promise<void> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: Cancel | undefined;
  #closed = false;

  constructor(options: KeptWriterOptions<T>) {
    this.#options = options;
    // A commit says that the store answers again.
    this.#stopWaking = options.onWake(() => this.#wake());
  }

  /** Writes down what is in force here already; it is offered to the store from now on. */
  async keep(): Promise<Result<void>> {
    const saved = await this.#options.list.save();
    this.#arm();
    return saved;
  }

  /** Lets go of one: the store has it, or it is over. */
  async lift(key: string): Promise<void> {
    const { list, onLifted } = this.#options;
    if (!list.has(key)) return;
    list.remove(key);
    onLifted?.(key);
    const saved = await list.save();
    if (!saved.ok) this.#retry(saved.error);
  }

  /** Offers what is kept to the store once; what it does not take it is offered again, later. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flushOnce().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /** Stops offering. What is kept stays in the file. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaking();
    this.#cancelRetry?.();
    await this.#flushing;
  }

  /** The store's answer, or its absence after {@link STORE_WAIT_MS}. */
  async soon<A>(writing: Promise<Result<A>>): Promise<Result<A>> {
    const { promise, resolve } = Promise.withResolvers<Result<A>>();
    const cancel = this.#options.clock.after(STORE_WAIT_MS, () =>
      resolve(fail('STORE_UNAVAILABLE', `the database did not answer in ${STORE_WAIT_MS} ms`)),
    );
    void writing.then(resolve, resolve);
    const answer = await promise;
    cancel();
    return answer;
  }

  async #flushOnce(): Promise<void> {
    const { list, keyOf, write, onEvent, onLifted, catchUp } = this.#options;
    // What the disk would not take before; the store may stay away for longer than the disk.
    await list.save();
    for (const item of list.items()) {
      if (this.#closed) return;
      const written = await write(item);
      if (!written.ok) return this.#retry(written.error);
      // The view first: between the two nobody may find it in good standing.
      const shown = await catchUp();
      if (!shown.ok) return this.#retry(shown.error);
      list.remove(keyOf(item));
      onLifted?.(keyOf(item));
      onEvent({ kind: written.value ? 'written' : 'gone', item });
    }
    const saved = await list.save();
    if (!saved.ok) return this.#retry(saved.error);
    this.#retryMs = FIRST_RETRY_MS;
  }

  #wake(): void {
    const { list } = this.#options;
    if (!this.#closed && list.size > 0) void this.flush();
  }

  #retry(error: SignetError): void {
    // Told before waiting, so that whoever hears of it may end the wait.
    const retryMs = this.#arm();
    this.#options.onEvent({ kind: 'failed', error, retryMs });
  }

  /** Tries again after a while, drawn from half to all of the doubling wait. */
  #arm(): number {
    const { clock, random } = this.#options;
    const waitMs = Math.round(this.#retryMs * (0.5 + randomFraction(random) / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    this.#cancelRetry?.();
    if (!this.#closed) this.#cancelRetry = clock.after(waitMs, () => void this.flush());
    return waitMs;
  }
}
