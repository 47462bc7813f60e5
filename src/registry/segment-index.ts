import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { serves } from '../rules/connector/serves.ts';

/** Which segments which groups serve: those that name a group, and those that it selects by their labels. */
export class SegmentIndex {
  readonly #groups: ReadonlyMap<string, ConnectorGroup>;
  /** Segments by the groups that there are. */
  readonly #served = new Map<string, Map<string, ConnectorSegment>>();
  /** Groups that select by labels. */
  readonly #selecting = new Set<string>();
  /** What was read of a group, until it changes. */
  readonly #read = new Map<string, readonly ConnectorSegment[]>();

  /** @param groups Kept by the caller, who tells of every change. */
  constructor(groups: ReadonlyMap<string, ConnectorGroup>) {
    this.#groups = groups;
  }

  /** Forgets all. */
  clear(): void {
    this.#served.clear();
    this.#selecting.clear();
    this.#read.clear();
  }

  /** A group is new, or it is gone, or it is another: looks at all segments. */
  changeGroup(name: string, segments: Iterable<ConnectorSegment>): void {
    this.#read.delete(name);
    this.#served.delete(name);
    this.#selecting.delete(name);
    const group = this.#groups.get(name);
    if (group === undefined) return;
    if (Object.keys(group.segmentSelector).length > 0) this.#selecting.add(name);
    const served = new Map<string, ConnectorSegment>();
    for (const segment of segments) if (serves(group, segment)) served.set(segment.id, segment);
    this.#served.set(name, served);
  }

  /** A segment is new, gone or another; answers the groups that served it or serve it now. */
  changeSegment(
    before: ConnectorSegment | undefined,
    after: ConnectorSegment | undefined,
  ): ReadonlySet<string> {
    const served = before === undefined ? [] : this.groupsOf(before);
    for (const name of served) if (before !== undefined) this.#served.get(name)?.delete(before.id);
    const serving = after === undefined ? [] : this.groupsOf(after);
    for (const name of serving)
      if (after !== undefined) this.#served.get(name)?.set(after.id, after);
    const changed = new Set([...served, ...serving]);
    for (const name of changed) this.#read.delete(name);
    return changed;
  }

  /** Segments that a group serves; the same array until that changes. */
  segmentsOf(name: string): readonly ConnectorSegment[] {
    const known = this.#read.get(name);
    if (known !== undefined) return known;
    const segments = [...(this.#served.get(name)?.values() ?? [])];
    if (this.#served.has(name)) this.#read.set(name, segments);
    return segments;
  }

  /** Groups that serve a segment. */
  groupsOf(segment: ConnectorSegment): readonly string[] {
    const names = new Set([...segment.groups, ...this.#selecting]);
    return [...names].filter((name) => {
      const group = this.#groups.get(name);
      return group !== undefined && serves(group, segment);
    });
  }
}
