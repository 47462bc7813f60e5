import { fail, ok, type Result } from '../../base/result.ts';
import type { ConnectorGroupDraft } from './group.ts';
import { isHostWithin } from './host.ts';
import type { ConnectorSegmentDraft } from './segment.ts';

/** The object of Kubernetes that a group or a segment follows. */
export interface ConnectorObjectName {
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
}

const ORIGIN = /^kubernetes\/([^/]+)\/([^/]+)\/([^/]+)$/;

/** What the store knows a group or a segment of an object by. */
export function connectorOriginOf({ cluster, namespace, name }: ConnectorObjectName): string {
  return `kubernetes/${cluster}/${namespace}/${name}`;
}

/** The object that an origin names; undefined where it names none, as that of operators. */
export function connectorOwnerOf(origin: string): ConnectorObjectName | undefined {
  const [, cluster, namespace, name] = ORIGIN.exec(origin) ?? [];
  if (cluster === undefined || namespace === undefined || name === undefined) return undefined;
  return { cluster, namespace, name };
}

/** What of a group decides who may define segments of it. */
export type PermittingGroup = Pick<
  ConnectorGroupDraft,
  'name' | 'segmentNamespaces' | 'segmentHosts'
>;

/**
 * Whether a group takes a segment from who made it. An operator's it always takes; that of an object of
 * Kubernetes only from a namespace that it names, with hosts that lie within its hosts. Labels that the
 * group selects by are no permission: whoever makes an object writes them. Fails with
 * CONNECTOR_SEGMENT_NOT_PERMITTED.
 */
export function checkSegmentPermitted(
  group: PermittingGroup,
  { hosts, origin }: Pick<ConnectorSegmentDraft, 'hosts' | 'origin'>,
): Result<void> {
  if (origin === '') return ok(undefined);
  const owner = connectorOwnerOf(origin);
  const rules = owner === undefined ? [] : [owner.namespace, `${owner.cluster}/${owner.namespace}`];
  if (!rules.some((rule) => group.segmentNamespaces.includes(rule))) {
    const who = owner === undefined ? JSON.stringify(origin) : `namespace ${owner.namespace}`;
    const what = `segmentNamespaces of group ${group.name} do not name ${who}`;
    return fail('CONNECTOR_SEGMENT_NOT_PERMITTED', what);
  }
  const { segmentHosts } = group;
  const outside = hosts.find((host) => !isHostWithin(host, segmentHosts));
  // None named is any: which namespaces may is what the group has said then.
  if (segmentHosts.length === 0 || outside === undefined) return ok(undefined);
  const what = `host ${outside} is not within segmentHosts of group ${group.name}`;
  return fail('CONNECTOR_SEGMENT_NOT_PERMITTED', what);
}

/** The same as a yes or no, for who serves segments. */
export function isSegmentPermitted(
  group: PermittingGroup,
  segment: Pick<ConnectorSegmentDraft, 'hosts' | 'origin'>,
): boolean {
  return checkSegmentPermitted(group, segment).ok;
}
