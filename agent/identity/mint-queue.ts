/** Most requests in one call: the server's limit. */
export const MAX_BATCH = 500;

/** Calls for first SVIDs at once; renewals have one call of their own. */
const MAX_FIRST_CALLS = 4;

/** How a queue works off what is put in it. */
export interface MintQueueParts<T> {
  /** Whether an item is still to be worked on; asked once, when it is taken. */
  readonly take: (item: T) => boolean;
  /** Works on a batch; must not reject. */
  readonly run: (batch: readonly T[]) => Promise<void>;
}

/**
 * What waits to be minted, in batches. First SVIDs never wait behind renewals, and renewals go one
 * call after the other, so that a node which renews much does not crowd out new workloads.
 */
export class MintQueue<T> {
  readonly #parts: MintQueueParts<T>;
  #first: T[] = [];
  #renewals: T[] = [];
  #firstCalls = 0;
  #renewalCalls = 0;
  #scheduled = false;
  #paused = false;

  constructor(parts: MintQueueParts<T>) {
    this.#parts = parts;
  }

  /** Adds an item. */
  push(item: T, kind: 'first' | 'renewal'): void {
    (kind === 'first' ? this.#first : this.#renewals).push(item);
    this.#schedule();
  }

  /** Starts no more batches until {@link resume}. */
  pause(): void {
    this.#paused = true;
  }

  /** Goes on with what has gathered. */
  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#paused) return;
    this.#scheduled = true;
    // One microtask: the entries of one message go in one call, and nothing waits for a timer.
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#paused) this.#flush();
    });
  }

  #flush(): void {
    while (this.#first.length > 0 && this.#firstCalls < MAX_FIRST_CALLS) {
      const batch = this.#take(this.#first);
      if (batch.length === 0) continue;
      this.#firstCalls++;
      void this.#parts.run(batch).then(() => {
        this.#firstCalls--;
        this.#schedule();
      });
    }
    while (this.#renewals.length > 0 && this.#renewalCalls === 0) {
      const batch = this.#take(this.#renewals);
      if (batch.length === 0) continue;
      this.#renewalCalls++;
      void this.#parts.run(batch).then(() => {
        this.#renewalCalls--;
        this.#schedule();
      });
    }
  }

  #take(queue: T[]): readonly T[] {
    return queue.splice(0, MAX_BATCH).filter(this.#parts.take);
  }
}
