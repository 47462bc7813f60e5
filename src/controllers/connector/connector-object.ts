import type { Result } from '../../base/result.ts';
import { type KubeObject, metaOf, numberAt, objectAt, textAt } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import type { ConnectorGroupDraft } from '../../rules/connector/group.ts';
import type { ConnectorObjectName } from '../../rules/connector/permission.ts';
import { parseConnectorGroup } from '../../rules/kube/connector-group.ts';
import { parseConnectorSegment, type StatedSegment } from '../../rules/kube/connector-segment.ts';
import { classOf } from '../../rules/kube/pod-rule.ts';
import { type ShownCondition, shownCondition } from '../issuer/condition.ts';
import { type ClassFilter, isActedOn } from '../rule-kinds.ts';

const SIGNET = { group: 'signet.dev', version: 'v1alpha1' };

/** Where the API server has ConnectorGroups. */
export const CONNECTOR_GROUPS: KubeResource = { ...SIGNET, plural: 'connectorgroups' };

/** Where the API server has ConnectorSegments. */
export const CONNECTOR_SEGMENTS: KubeResource = { ...SIGNET, plural: 'connectorsegments' };

/** Types of conditions in the status of both. */
export const CONDITIONS = ['Ready', 'Accepted', 'Conflict'] as const;

/** One of {@link CONDITIONS}. */
export type ConditionType = (typeof CONDITIONS)[number];

/** A ConnectorGroup or ConnectorSegment that is acted on. */
export interface ConnectorObject<T> extends ConnectorObjectName {
  readonly uid: string;
  readonly generation: number;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  readonly stated: Result<T>;
  /** What its status says, by the type of the condition. */
  readonly shown: ReadonlyMap<ConditionType, ShownCondition>;
  /** What its status says besides. */
  readonly facts: KubeObject;
}

/** A ConnectorGroup. */
export type GroupObject = ConnectorObject<ConnectorGroupDraft>;

/** A ConnectorSegment. */
export type SegmentObject = ConnectorObject<StatedSegment>;

/** How objects of a cluster are read. */
export interface ConnectorReading {
  readonly cluster: string;
  readonly filter: ClassFilter;
}

/** Reads a ConnectorGroup; undefined for one of a class that is left to others. */
export function groupObjectFrom(
  object: KubeObject,
  reading: ConnectorReading,
): GroupObject | undefined {
  return objectFrom(object, reading, parseConnectorGroup);
}

/** Reads a ConnectorSegment; undefined for one of a class that is left to others. */
export function segmentObjectFrom(
  object: KubeObject,
  reading: ConnectorReading,
): SegmentObject | undefined {
  return objectFrom(object, reading, parseConnectorSegment);
}

/** An object in one word, with its cluster. */
export function titleOf(
  kind: 'ConnectorGroup' | 'ConnectorSegment',
  { cluster, namespace, name }: ConnectorObjectName,
): string {
  return `${kind} ${namespace}/${name} of cluster ${cluster}`;
}

function objectFrom<T>(
  object: KubeObject,
  { cluster, filter }: ConnectorReading,
  parse: (name: ConnectorObjectName, spec: KubeObject) => Result<T>,
): ConnectorObject<T> | undefined {
  const spec = objectAt(object, 'spec') ?? {};
  if (!isActedOn(classOf(spec), filter)) return undefined;
  const { name, namespace, uid } = metaOf(object);
  const created = Date.parse(textAt(object, 'metadata', 'creationTimestamp') ?? '');
  const shown = CONDITIONS.flatMap((type) => {
    const one = shownCondition(object, type);
    return one === undefined ? [] : [[type, one] as const];
  });
  const { conditions: _, ...facts } = objectAt(object, 'status') ?? {};
  return {
    ...{ cluster, namespace, name, uid },
    generation: numberAt(object, 'metadata', 'generation') ?? 0,
    createdAtMs: Number.isNaN(created) ? 0 : created,
    stated: parse({ cluster, namespace, name }, spec),
    shown: new Map(shown),
    facts,
  };
}
