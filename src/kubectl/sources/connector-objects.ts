import { ok, type Result } from '../../base/result.ts';
import {
  type KubeObject,
  metaOf,
  numberAt,
  objectAt,
  objectsAt,
  textAt,
  textsAt,
} from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { type Cluster, eachObject } from '../clusters.ts';
import type { ConnectorFacts, GroupFacts, SegmentFacts } from '../connector-rows.ts';

const GROUPS: KubeResource = {
  group: 'signet.dev',
  version: 'v1alpha1',
  plural: 'connectorgroups',
};

const SEGMENTS: KubeResource = { ...GROUPS, plural: 'connectorsegments' };

/**
 * Groups and segments as the status of the objects of a cluster tells them; none where it does not know
 * the kinds. Errors: KUBE_*.
 */
export async function connectorObjects(cluster: Cluster): Promise<Result<ConnectorFacts>> {
  const groups: GroupFacts[] = [];
  const segments: SegmentFacts[] = [];
  const inGroups = await each(cluster, GROUPS, (object) => {
    groups.push(groupOf(object, cluster.context));
  });
  if (!inGroups.ok) return inGroups;
  const inSegments = await each(cluster, SEGMENTS, (object) => {
    segments.push(segmentOf(object, cluster.context));
  });
  return inSegments.ok ? ok({ groups, segments, instances: [] }) : inSegments;
}

async function each(
  cluster: Cluster,
  resource: KubeResource,
  take: (object: KubeObject) => void,
): Promise<Result<void>> {
  const { namespace } = cluster;
  const within = namespace === undefined ? resource : { ...resource, namespace };
  const listed = await eachObject(cluster, within, { label: cluster.selector }, take);
  return !listed.ok && listed.error.code === 'KUBE_NOT_FOUND' ? ok(undefined) : listed;
}

function groupOf(object: KubeObject, context: string): GroupFacts {
  const { namespace, name } = metaOf(object);
  const count = (field: string): number => numberAt(object, 'status', field) ?? 0;
  const endMs = Date.parse(textAt(object, 'status', 'oldestCertificateExpiresAt') ?? '');
  const byState = Object.entries(objectAt(object, 'status', 'connectors') ?? {});
  return {
    context,
    namespace,
    name,
    minInstances: numberAt(object, 'spec', 'minInstances') ?? 0,
    connectors: Object.fromEntries(
      byState.filter((pair): pair is [string, number] => typeof pair[1] === 'number'),
    ),
    certificateEndMs: Number.isNaN(endMs) ? undefined : endMs,
    segments: count('segments'),
    thinSegments: count('thinSegments'),
    activeFlows: count('activeFlows'),
    upToDate: count('upToDate'),
    lastError: textAt(object, 'status', 'lastError') ?? '',
    refusal: refusalOf(object),
  };
}

function segmentOf(object: KubeObject, context: string): SegmentFacts {
  const { namespace, name } = metaOf(object);
  const conflict = conditionOf(object, 'Conflict');
  return {
    context,
    namespace,
    name,
    groups: textsAt(object, 'status', 'groups'),
    healthyConnectors: numberAt(object, 'status', 'healthyConnectors') ?? 0,
    conflict: conflict?.status === 'True' ? conflict.text : '',
    refusal: refusalOf(object),
  };
}

/** What keeps an object from being in force; one of which nobody has said anything is not in force either. */
function refusalOf(object: KubeObject): string {
  const accepted = conditionOf(object, 'Accepted');
  if (accepted === undefined) return 'no server has looked at it yet';
  return accepted.status === 'True' ? '' : accepted.text;
}

function conditionOf(
  object: KubeObject,
  type: string,
): { readonly status: string; readonly text: string } | undefined {
  const found = objectsAt(object, 'status', 'conditions').find(
    (one) => textAt(one, 'type') === type,
  );
  if (found === undefined) return undefined;
  const [reason = '', message = ''] = [textAt(found, 'reason'), textAt(found, 'message')];
  return {
    status: textAt(found, 'status') ?? '',
    text: message === '' ? reason : `${reason}: ${message}`,
  };
}
