import { fail, ok, type Result } from '../../base/result.ts';
import { type AgedSegment, type SegmentConflict, ServedIndex } from './served-index.ts';

/** What of a group's segments is served, and what is not because another stands. */
export interface ServedSegments<S> {
  /** In the order of their first writes. */
  readonly served: readonly S[];
  readonly conflicts: readonly SegmentConflict[];
}

/** The segments of one group that are sent to its connectors, of which {@link ServedIndex} tells. */
export function servedSegments<S extends AgedSegment>(segments: Iterable<S>): ServedSegments<S> {
  const index = new ServedIndex(segments);
  return { served: [...index.served.values()], conflicts: index.conflicts() };
}

/**
 * Refuses what would have a group serve other segments than before, where one of those that come to it
 * conflicts with another. Conflicts that it had before do not keep it from being changed. Fails with
 * CONNECTOR_SEGMENT_CONFLICT, which names both. Costs what comes, and a look at the hosts of the others;
 * which of them stand is worked out only where something overlaps.
 *
 * @param before IDs of the segments that it serves now.
 * @param after The segments that it would serve.
 */
export function checkNewcomers<S extends AgedSegment>(
  group: string,
  before: ReadonlySet<string>,
  after: readonly S[],
): Result<void> {
  const comes = new ServedIndex(after.filter(({ id }) => !before.has(id)));
  const [among] = comes.conflicts();
  if (among !== undefined) return conflicting(group, among.segmentId, among);
  const isFree = after.every((other) => !before.has(other.id) || !comes.conflictWith(other));
  if (isFree) return ok(undefined);
  const { conflicts } = servedSegments(after);
  const found = conflicts.find(({ segmentId, standingId }) => {
    return !before.has(segmentId) || !before.has(standingId);
  });
  if (found === undefined) return ok(undefined);
  return conflicting(group, found.segmentId, found);
}

/** The refusal of a segment for another one of a group: CONNECTOR_SEGMENT_CONFLICT. */
export function conflicting(
  group: string,
  id: string,
  { standingId, detail }: Omit<SegmentConflict, 'segmentId'>,
): Result<never> {
  const message = `group ${group}: segment ${id} and ${standingId} both claim ${detail}`;
  return fail('CONNECTOR_SEGMENT_CONFLICT', message);
}
