import { Heap } from '../../base/heap.ts';
import { Claims } from './claims.ts';
import type { MatchableSegment } from './match.ts';

/** A segment of a group, which others give way to or which gives way by its age. */
export type AgedSegment = MatchableSegment & { readonly createdRevision: bigint };

/** Two segments of one group that claim the same flows with nothing to choose by. */
export interface SegmentConflict {
  /** The one that is not served. */
  readonly segmentId: string;
  /** The one that stands. */
  readonly standingId: string;
  /** What both claim, in words. */
  readonly detail: string;
}

/** What of a group's segments is served, for reading. */
export interface ServedView<S> {
  /** By ID. */
  readonly served: ReadonlyMap<string, S>;
  /** What keeps a segment from being served; undefined where nothing does. */
  conflictOf(id: string): SegmentConflict | undefined;
  /** All that is not served, each with what stands in its place. */
  conflicts(): readonly SegmentConflict[];
  /** What a segment that was written now would conflict with, served or not; its own ID is what it replaces. */
  conflictWith(draft: MatchableSegment): Omit<SegmentConflict, 'segmentId'> | undefined;
  /** Greater with each change of what is served. */
  readonly position: number;
  /** IDs that changed after a position; undefined where that is longer ago than is known. */
  changedSince(position: number): ReadonlySet<string> | undefined;
}

/** Changes that are remembered at least. */
const MAX_CHANGES = 4096;

/**
 * What of a group's segments is served. Of two in conflict (same protocol, host, priority and width of an
 * overlapping port range, which is what `matchFlow` cannot tell apart) the older one stands, and the other
 * is not served at all. A change looks at the hosts and ports that it is about, and at segments whose
 * standing follows from it: which is the same as if all had been looked at, the oldest first.
 */
export class ServedIndex<S extends AgedSegment> implements ServedView<S> {
  readonly #all = new Map<string, S>();
  readonly #served = new Map<string, S>();
  /** Of those that are served. */
  readonly #claims = new Claims<S>();
  /** The ID of one that stands in its place, by that of each that is not served. */
  readonly #standing = new Map<string, string>();
  /** The other way round. */
  readonly #waiting = new Map<string, Set<string>>();
  /** IDs, the last change last; the first of them is that after `#forgotten`. */
  #changes: string[] = [];
  #forgotten = 0;

  constructor(segments: Iterable<S> = []) {
    for (const segment of [...segments].sort((a, b) => (isOlder(a, b) ? -1 : 1))) this.put(segment);
  }

  get served(): ReadonlyMap<string, S> {
    return this.#served;
  }

  get position(): number {
    return this.#forgotten + this.#changes.length;
  }

  /** Of all, served or not. */
  ids(): Iterable<string> {
    return this.#all.keys();
  }

  /** Takes in a segment as it stands now. */
  put(segment: S): void {
    const before = this.#all.get(segment.id);
    if (before === segment) return;
    this.#all.set(segment.id, segment);
    if (before !== undefined && claimsTheSame(before, segment)) {
      if (this.#served.has(segment.id)) {
        this.#claims.remove(before);
        this.#serve(segment);
      }
      return;
    }
    const unsettled = unsettledHeap<S>();
    if (before !== undefined) this.#takeOut(before, unsettled);
    unsettled.push(segment);
    this.#settle(unsettled);
  }

  /** Takes out a segment, where it is there. */
  delete(id: string): void {
    const before = this.#all.get(id);
    if (before === undefined) return;
    this.#all.delete(id);
    const unsettled = unsettledHeap<S>();
    this.#takeOut(before, unsettled);
    this.#settle(unsettled);
  }

  conflictOf(id: string): SegmentConflict | undefined {
    const segment = this.#standing.has(id) ? this.#all.get(id) : undefined;
    if (segment === undefined) return undefined;
    for (const { other, detail } of this.#claims.overlapping(segment)) {
      if (isOlder(other, segment)) return { segmentId: id, standingId: other.id, detail };
    }
    return undefined;
  }

  conflicts(): readonly SegmentConflict[] {
    return [...this.#standing.keys()].flatMap((id) => this.conflictOf(id) ?? []);
  }

  conflictWith(draft: MatchableSegment): Omit<SegmentConflict, 'segmentId'> | undefined {
    for (const { other, detail } of this.#claims.overlapping(draft)) {
      if (other.id !== draft.id) return { standingId: other.id, detail };
    }
    if (this.#standing.size === 0) return undefined;
    const claims = new Claims<MatchableSegment>();
    claims.add(draft);
    for (const id of this.#standing.keys()) {
      const waiting = id === draft.id ? undefined : this.#all.get(id);
      if (waiting === undefined) continue;
      for (const { detail } of claims.overlapping(waiting)) return { standingId: id, detail };
    }
    return undefined;
  }

  changedSince(position: number): ReadonlySet<string> | undefined {
    if (position < this.#forgotten) return undefined;
    return new Set(this.#changes.slice(position - this.#forgotten));
  }

  /** The oldest first: what is decided of one holds, since none that is younger has a say. */
  #settle(unsettled: Heap<S>): void {
    for (let next = unsettled.pop(); next !== undefined; next = unsettled.pop()) {
      const standing = this.#standingBefore(next);
      if (standing === undefined) this.#install(next, unsettled);
      else this.#wait(next, standing);
    }
  }

  #standingBefore(segment: S): S | undefined {
    for (const { other } of this.#claims.overlapping(segment)) {
      if (isOlder(other, segment)) return other;
    }
    return undefined;
  }

  /** Serves a segment; those that it conflicts with, all younger, give way. */
  #install(segment: S, unsettled: Heap<S>): void {
    const givingWay = new Set<S>();
    for (const { other } of this.#claims.overlapping(segment)) givingWay.add(other);
    for (const other of givingWay) {
      this.#takeOut(other, unsettled);
      this.#wait(other, segment);
    }
    this.#serve(segment);
  }

  #serve(segment: S): void {
    this.#claims.add(segment);
    this.#served.set(segment.id, segment);
    this.#note(segment.id);
  }

  #wait({ id }: S, standing: S): void {
    this.#standing.set(id, standing.id);
    const waiting = this.#waiting.get(standing.id) ?? new Set<string>();
    this.#waiting.set(standing.id, waiting.add(id));
  }

  /** Neither served nor waiting any more; whatever waits for it has to be looked at again. */
  #takeOut(segment: S, unsettled: Heap<S>): void {
    const { id } = segment;
    const standing = this.#standing.get(id);
    if (standing !== undefined) {
      this.#standing.delete(id);
      const waiting = this.#waiting.get(standing);
      waiting?.delete(id);
      if (waiting?.size === 0) this.#waiting.delete(standing);
      return;
    }
    if (!this.#served.delete(id)) return;
    this.#claims.remove(segment);
    this.#note(id);
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    for (const one of waiting) {
      this.#standing.delete(one);
      const again = this.#all.get(one);
      if (again !== undefined) unsettled.push(again);
    }
  }

  #note(id: string): void {
    this.#changes.push(id);
    if (this.#changes.length < 2 * MAX_CHANGES) return;
    this.#changes = this.#changes.slice(MAX_CHANGES);
    this.#forgotten += MAX_CHANGES;
  }
}

function unsettledHeap<S extends AgedSegment>(): Heap<S> {
  return new Heap<S>(isOlder);
}

function isOlder(a: AgedSegment, b: AgedSegment): boolean {
  if (a.createdRevision !== b.createdRevision) return a.createdRevision < b.createdRevision;
  return a.id < b.id;
}

/** Whether nothing differs that decides what is served. */
function claimsTheSame(a: AgedSegment, b: AgedSegment): boolean {
  return (
    a.createdRevision === b.createdRevision &&
    a.protocol === b.protocol &&
    a.priority === b.priority &&
    a.hosts.length === b.hosts.length &&
    a.hosts.every((host, at) => host === b.hosts[at]) &&
    a.ports.length === b.ports.length &&
    a.ports.every(
      ({ first, last }, at) => first === b.ports[at]?.first && last === b.ports[at]?.last,
    )
  );
}
