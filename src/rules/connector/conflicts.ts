import { fail, ok, type Result } from '../../base/result.ts';
import { formatHostPattern, parseHostPattern } from './host.ts';
import type { MatchableSegment } from './match.ts';
import type { PortRange } from './segment.ts';

/** Two segments of one group that claim the same flows with nothing to choose by. */
export interface SegmentConflict {
  /** The one that is not served. */
  readonly segmentId: string;
  /** The one that stands. */
  readonly standingId: string;
  /** What both claim, in words. */
  readonly detail: string;
}

/** What of a group's segments is served, and what is not because another stands. */
export interface ServedSegments<S> {
  /** In the order of their first writes. */
  readonly served: readonly S[];
  readonly conflicts: readonly SegmentConflict[];
}

/**
 * The segments of one group that are sent to its connectors. Of two in conflict (same protocol, host,
 * priority and width of an overlapping port range, which is what {@link matchFlow} cannot tell apart)
 * the older one stands, and the other is not served at all.
 */
export function servedSegments<S extends MatchableSegment & { readonly createdRevision: bigint }>(
  segments: Iterable<S>,
): ServedSegments<S> {
  const oldestFirst = [...segments].sort(byAge);
  const claims = new Claims();
  const served: S[] = [];
  const conflicts: SegmentConflict[] = [];
  for (const segment of oldestFirst) {
    const conflict = claims.conflictOf(segment);
    if (conflict === undefined) {
      claims.add(segment);
      served.push(segment);
    } else {
      conflicts.push(conflict);
    }
  }
  return { served, conflicts };
}

/**
 * Refuses a segment that conflicts with another of one of its groups. Fails with
 * CONNECTOR_SEGMENT_CONFLICT, which names the other.
 *
 * @param others The group's segments; one with the same ID is what is to be replaced.
 */
export function checkConflicts(
  draft: MatchableSegment,
  group: string,
  others: Iterable<MatchableSegment>,
): Result<void> {
  // The other way round than they stand: so that what a write costs is a look at each, nothing built.
  const claims = new Claims();
  claims.add(draft);
  for (const other of others) {
    const conflict = other.id === draft.id ? undefined : claims.conflictOf(other);
    if (conflict !== undefined) return conflicting(group, draft.id, other.id, conflict.detail);
  }
  return ok(undefined);
}

/**
 * Refuses what would have a group serve other segments than before, where one of those that come to it
 * conflicts with another. Conflicts that it had before do not keep it from being changed. Fails with
 * CONNECTOR_SEGMENT_CONFLICT, which names both.
 *
 * @param before IDs of the segments that it serves now.
 * @param after The segments that it would serve.
 */
export function checkNewcomers<S extends MatchableSegment & { readonly createdRevision: bigint }>(
  group: string,
  before: ReadonlySet<string>,
  after: readonly S[],
): Result<void> {
  if (after.every(({ id }) => before.has(id))) return ok(undefined);
  const { conflicts } = servedSegments(after);
  const found = conflicts.find(({ segmentId, standingId }) => {
    return !before.has(segmentId) || !before.has(standingId);
  });
  if (found === undefined) return ok(undefined);
  return conflicting(group, found.segmentId, found.standingId, found.detail);
}

function conflicting(group: string, id: string, otherId: string, claim: string): Result<never> {
  const message = `group ${group}: segment ${id} and ${otherId} both claim ${claim}`;
  return fail('CONNECTOR_SEGMENT_CONFLICT', message);
}

function byAge(
  a: { readonly id: string; readonly createdRevision: bigint },
  b: { readonly id: string; readonly createdRevision: bigint },
): number {
  if (a.createdRevision !== b.createdRevision)
    return a.createdRevision < b.createdRevision ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

interface Claim extends PortRange {
  readonly segmentId: string;
}

/**
 * What is claimed of one host, found without looking at every other claim: ranges of one width that overlap
 * begin less than that width apart, so they lie in the same or in neighbouring cells of that width.
 */
class PortClaims {
  readonly #cells = new Map<string, Claim[]>();

  constructor(first: MatchableSegment) {
    this.add(first);
  }

  add({ id: segmentId, ports }: MatchableSegment): void {
    for (const { first, last } of ports) {
      const { width, cell } = cellOf({ first, last });
      const name = `${width} ${cell}`;
      const claims = this.#cells.get(name);
      const claim = { first, last, segmentId };
      if (claims === undefined) this.#cells.set(name, [claim]);
      else claims.push(claim);
    }
  }

  find(range: PortRange): Claim | undefined {
    const { width, cell } = cellOf(range);
    for (const near of [cell - 1, cell, cell + 1]) {
      const claim = this.#cells.get(`${width} ${near}`)?.find((other) => overlap(other, range));
      if (claim !== undefined) return claim;
    }
    return undefined;
  }
}

function cellOf({ first, last }: PortRange): { readonly width: number; readonly cell: number } {
  const width = last - first + 1;
  return { width, cell: Math.floor(first / width) };
}

/** Who claims which host; of a host that one segment alone claims, the segment stands for its ports. */
class Claims {
  /** By protocol and priority, then by host. */
  readonly #byKind = new Map<string, Map<string, MatchableSegment | PortClaims>>();

  add(segment: MatchableSegment): void {
    const claimed = this.#of(segment);
    for (const host of hostsOf(segment)) {
      const there = claimed.get(host);
      if (there === undefined) claimed.set(host, segment);
      else this.#portsOf(claimed, host, there).add(segment);
    }
  }

  conflictOf(segment: MatchableSegment): SegmentConflict | undefined {
    const claimed = this.#of(segment);
    for (const host of hostsOf(segment)) {
      const there = claimed.get(host);
      if (there === undefined) continue;
      const ports = this.#portsOf(claimed, host, there);
      for (const range of segment.ports) {
        const claim = ports.find(range);
        if (claim !== undefined) return conflictBetween(segment, claim, host, range);
      }
    }
    return undefined;
  }

  #of({ protocol, priority }: MatchableSegment): Map<string, MatchableSegment | PortClaims> {
    const kind = `${protocol} ${priority}`;
    const known = this.#byKind.get(kind) ?? new Map<string, MatchableSegment | PortClaims>();
    this.#byKind.set(kind, known);
    return known;
  }

  #portsOf(
    claimed: Map<string, MatchableSegment | PortClaims>,
    host: string,
    there: MatchableSegment | PortClaims,
  ): PortClaims {
    if (there instanceof PortClaims) return there;
    const ports = new PortClaims(there);
    claimed.set(host, ports);
    return ports;
  }
}

function conflictBetween(
  segment: MatchableSegment,
  claim: Claim,
  host: string,
  range: PortRange,
): SegmentConflict {
  const first = Math.max(claim.first, range.first);
  const last = Math.min(claim.last, range.last);
  const ports = first === last ? `port ${first}` : `ports ${first}-${last}`;
  const detail = `${host}, ${segment.protocol} ${ports}, with priority ${segment.priority}`;
  return { segmentId: segment.id, standingId: claim.segmentId, detail };
}

/** Worked out once for each segment: those of the registry are asked for again at every write. */
const canonical = new WeakMap<MatchableSegment, readonly string[]>();

/** The hosts as they are compared; what was checked is written so already, and then costs nothing to keep. */
function hostsOf(segment: MatchableSegment): readonly string[] {
  const before = canonical.get(segment);
  if (before !== undefined) return before;
  const hosts = segment.hosts.flatMap((text) => {
    const pattern = parseHostPattern(text);
    return pattern === undefined ? [] : [formatHostPattern(pattern)];
  });
  const isSame =
    hosts.length === segment.hosts.length && hosts.every((host, at) => host === segment.hosts[at]);
  const kept = isSame ? segment.hosts : hosts;
  canonical.set(segment, kept);
  return kept;
}

function overlap(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}
