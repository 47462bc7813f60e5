import type { ConnectorGroupDraft } from './group.ts';
import { isSegmentPermitted } from './permission.ts';
import type { ConnectorSegmentDraft } from './segment.ts';

type Labels = Readonly<Record<string, string>>;

/**
 * Whether a group serves a segment: one that names it or that it selects by its labels, and that it takes
 * from who made it, however it came to be here.
 */
export function serves(
  group: Pick<
    ConnectorGroupDraft,
    'name' | 'segmentSelector' | 'segmentNamespaces' | 'segmentHosts'
  >,
  segment: Pick<ConnectorSegmentDraft, 'groups' | 'labels' | 'hosts' | 'origin'>,
): boolean {
  const isItsOwn =
    segment.groups.includes(group.name) || selects(group.segmentSelector, segment.labels);
  return isItsOwn && isSegmentPermitted(group, segment);
}

/** An empty selector selects none. */
function selects(selector: Labels, labels: Labels): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}
