import type { Cancel, Clock } from '../base/clock.ts';

/** What a queue keeps of a request. */
export interface Queued {
  /** Done is never looked at again. */
  state: 'idle' | 'busy' | 'done';
  /** When it is looked at next, by the monotonic clock. */
  dueMs: number;
  /** Whether something came while it was looked at. */
  isNews: boolean;
}

/** What a queue stands on. */
export interface RequestQueueOptions<I extends Queued> {
  readonly clock: Clock;
  /** Aborts when this server's turn ends; undefined while it has none: everything is kept until then. */
  readonly term: () => AbortSignal | undefined;
  /** All requests, those that are waiting for their time among them. */
  readonly all: () => Iterable<I>;
  /** Looks at some, which are busy meanwhile; those that are busy after it are looked at again. */
  readonly work: (items: readonly I[], term: AbortSignal) => Promise<void>;
  readonly onFault: (thrown: unknown) => void;
}

/** Requests that are signed for together: one record, one fsync. */
const BATCH = 64;
/** Batches under way at a time: while answers of one go out, the next is signed. */
const MAX_BATCHES = 4;
/** Between two looks at what is due, in milliseconds. */
export const LOOK_MS = 1_000;

/** Has requests looked at in batches, each by one at a time, and again when they are due. */
export class RequestQueue<I extends Queued> {
  readonly #options: RequestQueueOptions<I>;
  readonly #ready = new Set<I>();
  readonly #batches = new Set<Promise<void>>();
  /** Which batch looks at a request: one that was put off may be in another before the first ends. */
  readonly #turns = new WeakMap<I, object>();
  #immediate: NodeJS.Immediate | undefined;
  #cancel: Cancel | undefined;
  #isStopped = false;

  constructor(options: RequestQueueOptions<I>) {
    this.#options = options;
  }

  /** Has a request looked at soon; again, where it is being looked at. */
  put(item: I): void {
    if (item.state === 'busy') item.isNews = true;
    if (item.state !== 'idle') return;
    this.#ready.add(item);
    this.#pumpSoon();
  }

  /** Has a request looked at after a time, or at once where something came meanwhile. */
  later(item: I, delayMs: number): void {
    if (item.state === 'done') return;
    item.state = 'idle';
    item.dueMs = this.#options.clock.monotonicMs() + delayMs;
    if (item.isNews) this.put(item);
    else this.#arm();
  }

  /** Lets a request go for good. */
  drop(item: I): void {
    this.#ready.delete(item);
    item.state = 'done';
  }

  /** Ends it; answers when what was under way has come to its end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    clearImmediate(this.#immediate);
    await Promise.all(this.#batches);
  }

  /** Not at once: batches that wait for nothing would keep everybody else from their turn. */
  #pumpSoon(): void {
    if (this.#immediate !== undefined || this.#isStopped) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#ready.size > 0 && this.#batches.size < MAX_BATCHES && !this.#isStopped) {
      // Who does not lead keeps everything for when it does.
      const term = this.#options.term();
      if (term === undefined) return;
      const items = [...this.#ready.values().take(BATCH)];
      const turn = {};
      for (const item of items) {
        this.#turns.set(item, turn);
        this.#ready.delete(item);
        item.state = 'busy';
        item.isNews = false;
      }
      const batch = this.#options
        .work(items, term)
        .catch((thrown) => this.#options.onFault(thrown))
        .finally(() => {
          this.#batches.delete(batch);
          for (const item of items) {
            const isLeft = item.state === 'busy' && this.#turns.get(item) === turn;
            if (isLeft) this.later(item, LOOK_MS);
          }
          this.#pumpSoon();
        });
      this.#batches.add(batch);
    }
  }

  #arm(): void {
    if (this.#cancel !== undefined || this.#isStopped) return;
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      this.#cancel = undefined;
      this.#lookAtDue();
    });
  }

  #lookAtDue(): void {
    const nowMs = this.#options.clock.monotonicMs();
    let waits = false;
    for (const item of this.#options.all()) {
      if (item.state !== 'idle' || this.#ready.has(item)) continue;
      if (item.dueMs <= nowMs) this.put(item);
      else waits = true;
    }
    if (waits) this.#arm();
  }
}
