/** Bounds of a queue, in sizes. */
export interface QueueBounds {
  readonly total: number;
  /** Of one lane: nobody fills the queue alone. */
  readonly perLane: number;
}

/**
 * Work of many lanes, taken in turns: one piece of each lane, then the next of each. Who brings much
 * waits behind itself.
 */
export class FairQueue<Work> {
  readonly #bounds: QueueBounds;
  /** In the order of their turns; a lane is here while it has work waiting. */
  readonly #lanes = new Map<string, Work[]>();
  /** Sizes that wait or run, by lane. */
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  /** Sizes that wait or run. */
  get total(): number {
    return this.#total;
  }

  /** Whether no work waits. */
  get isIdle(): boolean {
    return this.#lanes.size === 0;
  }

  /** Takes room for work that will be pushed; false where there is none. */
  reserve(lane: string, size: number): boolean {
    const held = this.#held.get(lane) ?? 0;
    if (this.#total + size > this.#bounds.total || held + size > this.#bounds.perLane) return false;
    this.#total += size;
    this.#held.set(lane, held + size);
    return true;
  }

  /** Gives room back. */
  release(lane: string, size: number): void {
    this.#total -= size;
    const held = (this.#held.get(lane) ?? 0) - size;
    if (held > 0) this.#held.set(lane, held);
    else this.#held.delete(lane);
  }

  /** Adds work at the end of its lane. */
  push(lane: string, work: Work): void {
    const waiting = this.#lanes.get(lane);
    if (waiting === undefined) this.#lanes.set(lane, [work]);
    else waiting.push(work);
  }

  /** The next work, of the lane whose turn it is; undefined when none waits. */
  take(): Work | undefined {
    for (const [lane, waiting] of this.#lanes) {
      const work = waiting.shift();
      this.#lanes.delete(lane);
      // To the end of the round.
      if (waiting.length > 0) this.#lanes.set(lane, waiting);
      return work;
    }
    return undefined;
  }
}
