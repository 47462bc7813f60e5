import { plainText } from '../base/plain-text.ts';
import { type SegmentHealth, TargetHealth } from '../gen/signet/connector/v1/connector.ts';

/** Most targets that are kept of one connector. */
export const MAX_TARGETS = 4096;

/** Most targets that are kept of all connectors: some 300 MB. */
const MAX_ALL_TARGETS = 1_000_000;

/** Longest name of a target: a host of 253 characters and its port. */
const MAX_TARGET_LENGTH = 262;

/** Longest error that is kept, in characters. */
const MAX_ERROR_LENGTH = 256;

/** Targets kept of all connectors together. */
export interface TargetBudget {
  used: number;
}

/** What one connector says of the targets of its segments, bounded; made when it first says something. */
export class SegmentHealthTable {
  readonly #budget: TargetBudget;
  /** By segment, then by target. */
  readonly #segments = new Map<string, Map<string, SegmentHealth>>();
  #size = 0;
  #dropped = 0;

  constructor(budget: TargetBudget) {
    this.#budget = budget;
  }

  /** Targets that are kept. */
  get size(): number {
    return this.#size;
  }

  /** Statements that were not kept, for want of room or because they speak of nothing that is served. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes a change; of segments that are not served nothing is kept. */
  apply(changes: readonly SegmentHealth[], isServed: (segmentId: string) => boolean): void {
    for (const change of changes) {
      const target = plainText(change.target, MAX_TARGET_LENGTH);
      // No host and port has what a terminal obeys: another name would stand for it.
      const isTarget = target === change.target;
      if (isTarget && isServed(change.segmentId)) this.#put(change);
      else this.#dropped++;
    }
  }

  /** Forgets segments that are no longer served. */
  keep(isServed: (segmentId: string) => boolean): void {
    for (const [segmentId, targets] of this.#segments) {
      if (isServed(segmentId)) continue;
      this.#segments.delete(segmentId);
      this.#release(targets.size);
    }
  }

  /** Segments with a target that is down. */
  *downSegments(): Iterable<string> {
    for (const id of this.#segments.keys()) if (this.isDown(id)) yield id;
  }

  /** Whether a target of a segment is down. */
  isDown(segmentId: string): boolean {
    for (const { health } of this.#segments.get(segmentId)?.values() ?? []) {
      if (health === TargetHealth.TARGET_HEALTH_DOWN) return true;
    }
    return false;
  }

  /** All that is kept. */
  *all(): Iterable<SegmentHealth> {
    for (const targets of this.#segments.values()) yield* targets.values();
  }

  /** Gives back its share of the budget. */
  close(): void {
    this.#segments.clear();
    this.#release(this.#size);
  }

  #put(change: SegmentHealth): void {
    const targets = this.#segments.get(change.segmentId);
    if (change.health === TargetHealth.TARGET_HEALTH_UNSPECIFIED) {
      // What it watches no longer.
      if (targets?.delete(change.target) === true) this.#release(1);
      return;
    }
    const isNew = targets?.has(change.target) !== true;
    if (isNew && (this.#size >= MAX_TARGETS || this.#budget.used >= MAX_ALL_TARGETS)) {
      this.#dropped++;
      return;
    }
    if (isNew) {
      this.#size++;
      this.#budget.used++;
    }
    const kept = { ...change, error: plainText(change.error, MAX_ERROR_LENGTH) };
    if (targets === undefined)
      this.#segments.set(change.segmentId, new Map([[change.target, kept]]));
    else targets.set(change.target, kept);
  }

  #release(count: number): void {
    this.#size -= count;
    this.#budget.used -= count;
  }
}
