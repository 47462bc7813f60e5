import type { Result } from '../../base/result.ts';
import { type KubeObject, metaOf, numberAt, objectAt, textAt } from '../../kube/objects.ts';
import { parseFederatedDomain, type StatedDomain } from '../../rules/kube/federated-domain.ts';
import { classOf } from '../../rules/kube/pod-rule.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { type ShownCondition, shownCondition } from '../issuer/condition.ts';
import { type ClassFilter, isActedOn } from '../rule-kinds.ts';

/** A ClusterFederatedTrustDomain that is acted on. */
export interface DomainObject {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  readonly stated: Result<StatedDomain>;
  /** The bundle to begin with, as it is written: whether somebody changed it. */
  readonly bundleText: string;
  /** What its status says, by the type of the condition. */
  readonly shown: ReadonlyMap<string, ShownCondition>;
}

/** Types of conditions in the status of a ClusterFederatedTrustDomain. */
export const CONDITIONS = ['Ready', 'BundleFetched'] as const;

/** How objects of a cluster are read. */
export interface DomainReading {
  readonly filter: ClassFilter;
  /** Trust domain of the server. */
  readonly own: TrustDomain;
}

/** Reads an object; undefined for one of a class that is left to others. */
export function domainObjectFrom(
  object: KubeObject,
  { filter, own }: DomainReading,
): DomainObject | undefined {
  const spec = objectAt(object, 'spec') ?? {};
  if (!isActedOn(classOf(spec), filter)) return undefined;
  const { name, uid } = metaOf(object);
  const created = Date.parse(textAt(object, 'metadata', 'creationTimestamp') ?? '');
  const shown = CONDITIONS.flatMap((type) => {
    const one = shownCondition(object, type);
    return one === undefined ? [] : [[type, one] as const];
  });
  return {
    name,
    uid,
    generation: numberAt(object, 'metadata', 'generation') ?? 0,
    createdAtMs: Number.isNaN(created) ? 0 : created,
    stated: parseFederatedDomain(spec, own),
    bundleText: textAt(object, 'spec', 'trustDomainBundle') ?? '',
    shown: new Map(shown),
  };
}

const ORIGIN = /^kubernetes\/([^/]+)\/([^/]+)$/;

/** What the store knows the relationship of an object by. */
export function originOf(cluster: string, name: string): string {
  return `kubernetes/${cluster}/${name}`;
}

/** The object that an origin names; undefined where it names none, as that of operators. */
export function ownerOf(
  origin: string,
): { readonly cluster: string; readonly name: string } | undefined {
  const [, cluster, name] = ORIGIN.exec(origin) ?? [];
  return cluster === undefined || name === undefined ? undefined : { cluster, name };
}

/** An object in one word, with its cluster. */
export function domainTitle(cluster: string, name: string): string {
  return `ClusterFederatedTrustDomain ${name} of cluster ${cluster}`;
}
