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
    if (conflict === undefined) continue;
    return fail(
      'CONNECTOR_SEGMENT_CONFLICT',
      `group ${group}: segment ${draft.id} and ${other.id} both claim ${conflict.detail}`,
    );
  }
  return ok(undefined);
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
 * Who claims what, found without looking at every other segment: ranges of one width that overlap begin
 * less than that width apart, so they lie in the same or in neighbouring cells of that width.
 */
class Claims {
  readonly #cells = new Map<string, Claim[]>();
  /** Of all claims, without their cells: most segments have nothing to do with each other. */
  readonly #keys = new Set<string>();

  add(segment: MatchableSegment): void {
    for (const { key, cell, range } of claimsOf(segment)) {
      const name = `${key} ${cell}`;
      const claims = this.#cells.get(name);
      const claim = { ...range, segmentId: segment.id };
      if (claims === undefined) this.#cells.set(name, [claim]);
      else claims.push(claim);
      this.#keys.add(key);
    }
  }

  conflictOf(segment: MatchableSegment): SegmentConflict | undefined {
    for (const { key, cell, host, range } of claimsOf(segment)) {
      if (!this.#keys.has(key)) continue;
      for (const near of [cell - 1, cell, cell + 1]) {
        const claim = this.#cells.get(`${key} ${near}`)?.find((other) => overlap(other, range));
        if (claim === undefined) continue;
        const first = Math.max(claim.first, range.first);
        const last = Math.min(claim.last, range.last);
        const ports = first === last ? `port ${first}` : `ports ${first}-${last}`;
        const detail = `${host}, ${segment.protocol} ${ports}, with priority ${segment.priority}`;
        return { segmentId: segment.id, standingId: claim.segmentId, detail };
      }
    }
    return undefined;
  }
}

interface CellClaim {
  readonly key: string;
  readonly cell: number;
  readonly host: string;
  readonly range: PortRange;
}

/** Worked out once for each segment: those of the registry are asked for again at every write. */
const known = new WeakMap<MatchableSegment, readonly CellClaim[]>();

function claimsOf(segment: MatchableSegment): readonly CellClaim[] {
  const before = known.get(segment);
  if (before !== undefined) return before;
  const claims = [...readClaims(segment)];
  known.set(segment, claims);
  return claims;
}

function* readClaims(segment: MatchableSegment): Iterable<CellClaim> {
  for (const text of segment.hosts) {
    const pattern = parseHostPattern(text);
    if (pattern === undefined) continue;
    const host = formatHostPattern(pattern);
    for (const range of segment.ports) {
      const width = range.last - range.first + 1;
      const key = `${segment.protocol} ${segment.priority} ${width} ${host}`;
      yield { key, cell: Math.floor(range.first / width), host, range };
    }
  }
}

function overlap(a: PortRange, b: PortRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}
