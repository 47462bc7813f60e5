import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { ServedIndex, type ServedView } from '../rules/connector/served-index.ts';
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
  /** What conflicts leave of those that a group serves, since it was first asked for. */
  readonly #settled = new Map<string, ServedIndex<ConnectorSegment>>();

  /** @param groups Kept by the caller, who tells of every change. */
  constructor(groups: ReadonlyMap<string, ConnectorGroup>) {
    this.#groups = groups;
  }

  /** Forgets all. */
  clear(): void {
    this.#served.clear();
    this.#selecting.clear();
    this.#read.clear();
    this.#settled.clear();
  }

  /** A group is new, or it is gone, or it is another: looks at all segments. */
  changeGroup(name: string, segments: Iterable<ConnectorSegment>): void {
    this.#read.delete(name);
    this.#served.delete(name);
    this.#selecting.delete(name);
    const group = this.#groups.get(name);
    if (group === undefined) {
      this.#settled.delete(name);
      return;
    }
    if (Object.keys(group.segmentSelector).length > 0) this.#selecting.add(name);
    const served = new Map<string, ConnectorSegment>();
    for (const segment of segments) if (serves(group, segment)) served.set(segment.id, segment);
    this.#served.set(name, served);
    const settled = this.#settled.get(name);
    if (settled === undefined) return;
    for (const id of settled.ids()) if (!served.has(id)) settled.delete(id);
    for (const segment of served.values()) settled.put(segment);
  }

  /** A segment is new, gone or another; answers the groups that served it or serve it now. */
  changeSegment(
    before: ConnectorSegment | undefined,
    after: ConnectorSegment | undefined,
  ): ReadonlySet<string> {
    const served = before === undefined ? [] : this.groupsOf(before);
    for (const name of served) if (before !== undefined) this.#served.get(name)?.delete(before.id);
    const serving = after === undefined ? [] : this.groupsOf(after);
    for (const name of serving) {
      if (after === undefined) continue;
      this.#served.get(name)?.set(after.id, after);
      this.#settled.get(name)?.put(after);
    }
    for (const name of served) {
      if (before !== undefined && !serving.includes(name))
        this.#settled.get(name)?.delete(before.id);
    }
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

  /** What of them is sent to connectors, kept up with every change; the same one while the group is there. */
  servedOf(name: string): ServedView<ConnectorSegment> {
    const known = this.#settled.get(name);
    if (known !== undefined) return known;
    const settled = new ServedIndex(this.#served.get(name)?.values());
    if (this.#served.has(name)) this.#settled.set(name, settled);
    return settled;
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
