import { isDeepStrictEqual } from 'node:util';
import type { SignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { ConnectorView } from '../../registry/connectors.ts';
import { checkSegmentDraft } from '../../rules/connector/checks.ts';
import {
  checkSegmentPermitted,
  connectorOriginOf,
  connectorOwnerOf,
  isSegmentPermitted,
} from '../../rules/connector/permission.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../../rules/connector/segment.ts';
import { type StatedSegment, segmentIdOf } from '../../rules/kube/connector-segment.ts';
import type { ConnectorDelete, ConnectorWrite } from '../../store/connectors.ts';
import type { SegmentObject } from './connector-object.ts';
import { hostsOfService, type ServiceAddresses } from './service-hosts.ts';

/** What one cluster says. */
export interface ClusterSegments {
  readonly name: string;
  /** Whether all of its objects are known, and its services where any is named. */
  readonly isSynced: boolean;
  readonly objects: readonly SegmentObject[];
  /** By `namespace/name`. */
  readonly service: (key: string) => ServiceAddresses | undefined;
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
}

/** What a plan is made from. */
export interface SegmentPlanInput {
  readonly clusters: readonly ClusterSegments[];
  readonly view: Pick<ConnectorView, 'group' | 'groups' | 'segment' | 'segments'>;
}

/** How an object stands. */
export interface SegmentStanding {
  readonly object: SegmentObject;
  readonly id: string;
  /** Why it is not in force, or not in every group that it names; undefined where it is. */
  readonly problem: SignetError | undefined;
  /** Whether it is in force, in one group at least. */
  readonly isWritten: boolean;
  /** Those that it is in force with. */
  readonly hosts: readonly string[];
}

/** What has to be written for the segments to be as the objects say. */
export interface SegmentPlan {
  readonly writes: readonly ConnectorWrite<ConnectorSegmentDraft>[];
  readonly deletes: readonly ConnectorDelete[];
  readonly standings: readonly SegmentStanding[];
}

/**
 * Which segments the objects of all clusters ask for: each is written for the groups that permit it, and
 * refused for the others. What an operator made under its ID stays, and what belongs to a cluster that has
 * not been read whole. An object that cannot be read any more keeps what it had.
 */
export function planSegments({ clusters, view }: SegmentPlanInput): SegmentPlan {
  const standings: SegmentStanding[] = [];
  const writes: ConnectorWrite<ConnectorSegmentDraft>[] = [];
  const kept = new Set<string>();
  for (const cluster of clusters.filter(({ isSynced }) => isSynced)) {
    for (const object of cluster.objects) {
      const { draft, problem } = judge(object, cluster, view);
      const id = segmentIdOf(object);
      const hosts = draft?.hosts ?? [];
      standings.push({ object, id, problem, isWritten: draft !== undefined, hosts });
      if (draft !== undefined || !object.stated.ok) kept.add(connectorOriginOf(object));
      if (draft !== undefined) writes.push(...writeOf(draft, view.segment(id)));
    }
  }
  const deletes = [...view.segments()].filter(({ origin }) => {
    const owner = connectorOwnerOf(origin);
    const isRead = clusters.some(({ name, isSynced }) => isSynced && name === owner?.cluster);
    return isRead && !kept.has(origin);
  });
  return {
    writes,
    deletes: deletes.map(({ id, origin }) => ({ name: id, origin })),
    standings,
  };
}

interface Judged {
  readonly draft: ConnectorSegmentDraft | undefined;
  readonly problem: SignetError | undefined;
}

const refused = (problem: SignetError): Judged => ({ draft: undefined, problem });

function judge(
  object: SegmentObject,
  cluster: ClusterSegments,
  view: SegmentPlanInput['view'],
): Judged {
  if (!object.stated.ok) return refused(object.stated.error);
  const { draft } = object.stated.value;
  const existing = view.segment(draft.id);
  if (existing !== undefined && existing.origin !== draft.origin) {
    const what = `segment ${draft.id} is that of an operator`;
    return refused(fail('CONNECTOR_SEGMENT_CLAIMED', what).error);
  }
  const added = serviceHosts(object, object.stated.value, cluster);
  if (!added.ok) return refused(added.error);
  return permitted(draft, added.value, view);
}

/** Hosts of the services that an object names, all of its own namespace. */
function serviceHosts(
  { namespace }: SegmentObject,
  { services }: StatedSegment,
  { service, clusterDomain }: ClusterSegments,
): Result<readonly (readonly string[])[]> {
  const all: (readonly string[])[] = [];
  for (const name of services) {
    const found = service(`${namespace}/${name}`);
    if (found === undefined || found.isExternal) {
      const why =
        found === undefined ? 'is not there' : 'is an ExternalName, which leads elsewhere';
      return fail('CONNECTOR_SERVICE_UNKNOWN', `service ${namespace}/${name} ${why}`);
    }
    all.push(hostsOfService({ namespace, name }, found, clusterDomain));
  }
  return ok(all);
}

/** The segment for the groups that permit it, with those hosts of its services that all of them permit. */
function permitted(
  draft: ConnectorSegmentDraft,
  services: readonly (readonly string[])[],
  view: SegmentPlanInput['view'],
): Judged {
  let problem: SignetError | undefined;
  let added = services;
  const groups: string[] = [];
  const refuse = (error: SignetError): void => {
    problem ??= error;
  };
  const selecting = selectingGroups(draft, view);
  for (const name of [...draft.groups, ...selecting]) {
    const group = view.group(name);
    if (group === undefined) {
      refuse(fail('CONNECTOR_SEGMENT_GROUP', `there is no group ${name}`).error);
      continue;
    }
    const stated = checkSegmentPermitted(group, draft);
    if (!stated.ok) {
      refuse(stated.error);
      continue;
    }
    const { origin } = draft;
    const left = added.map((hosts) =>
      hosts.filter((host) => isSegmentPermitted(group, { origin, hosts: [host] })),
    );
    const lost = left.findIndex((hosts) => hosts.length === 0);
    const of = checkSegmentPermitted(group, { origin, hosts: added[lost] ?? [] });
    if (lost !== -1 && !of.ok) {
      refuse(of.error);
      continue;
    }
    added = left;
    groups.push(name);
  }
  if (groups.length === 0) {
    const none = fail('CONNECTOR_SEGMENT_GROUP', 'no group is named, and none selects its labels');
    return refused(problem ?? none.error);
  }
  const whole = checkSegmentDraft({
    ...draft,
    hosts: [...new Set([...draft.hosts, ...added.flat()])],
    groups: groups.filter((name) => draft.groups.includes(name)),
  });
  return whole.ok ? { draft: whole.value, problem } : refused(whole.error);
}

/** Groups that select a segment by its labels, of those that it does not name. */
function selectingGroups(
  { labels, groups }: ConnectorSegmentDraft,
  view: SegmentPlanInput['view'],
): readonly string[] {
  if (Object.keys(labels).length === 0) return [];
  return [...view.groups()]
    .filter(({ name, segmentSelector }) => {
      const wanted = Object.entries(segmentSelector);
      const isSelected = wanted.every(([key, value]) => labels[key] === value);
      return wanted.length > 0 && isSelected && !groups.includes(name);
    })
    .map(({ name }) => name);
}

function writeOf(
  draft: ConnectorSegmentDraft,
  existing: ConnectorSegment | undefined,
): readonly ConnectorWrite<ConnectorSegmentDraft>[] {
  if (existing !== undefined) {
    const { revision: _, createdRevision: __, ...held } = existing;
    if (isDeepStrictEqual({ ...held }, { ...draft })) return [];
  }
  return [{ draft, expectedRevision: existing?.revision ?? 0n }];
}
