import type { Result } from '../base/result.ts';
import type { KubeResource } from '../kube/resource.ts';
import type { EntryDraft } from '../rules/entry.ts';
import {
  type ClusterLimit,
  checkClusterLimit,
  checkParentLimit,
} from '../rules/kube/cluster-limit.ts';
import type { JsonObject } from '../rules/kube/fields.ts';
import {
  classOf,
  parseClusterSpiffeId,
  parseWorkloadIdentity,
  type RuleKind,
} from '../rules/kube/pod-rule.ts';
import type { KnownRule } from '../rules/kube/rule-table.ts';
import { parseStaticEntry } from '../rules/kube/static-entry.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { RuleObject } from './projections.ts';

const SPIRE = { group: 'spire.spiffe.io', version: 'v1alpha1' };
const SIGNET = { group: 'signet.dev', version: 'v1alpha1' };

/** The kinds of rules, by where the API server has them. */
export const RULE_RESOURCES: Readonly<Record<RuleKind, KubeResource>> = {
  ClusterSPIFFEID: { ...SPIRE, plural: 'clusterspiffeids' },
  ClusterStaticEntry: { ...SPIRE, plural: 'clusterstaticentries' },
  WorkloadIdentity: { ...SIGNET, plural: 'workloadidentities' },
};

/** Where the API server has the trust domains to federate with. */
export const FEDERATED_DOMAINS: KubeResource = { ...SPIRE, plural: 'clusterfederatedtrustdomains' };

/** Where the API server has grants of path prefixes. */
export const GRANTS: KubeResource = { ...SIGNET, plural: 'workloadidentitygrants' };

/** EndpointSlices of services. */
export const SLICES: KubeResource = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
};

/** Namespaces. */
export const NAMESPACES: KubeResource = { group: '', version: 'v1', plural: 'namespaces' };

/** What rules of a cluster are read with. */
export interface RuleReading {
  readonly filter: ClassFilter;
  readonly limit: ClusterLimit;
  readonly trustDomain: TrustDomain;
}

/** Which classes of rules are acted on. */
export interface ClassFilter {
  readonly className: string;
  readonly watchClassless: boolean;
}

/** Whether what bears this className, or none, is acted on. */
export function isActedOn(
  className: string,
  { className: own, watchClassless }: ClassFilter,
): boolean {
  return className === own || (className === '' && watchClassless);
}

/** Reads a rule; one of another class is not looked into. */
export function readRule(
  { origin, spec }: RuleObject,
  { filter, limit, trustDomain }: RuleReading,
): KnownRule {
  const className = classOf(spec);
  if (!isActedOn(className, filter)) return { kind: 'other-class', origin, className };
  switch (origin.kind) {
    case 'ClusterSPIFFEID':
      return { kind: 'pods', origin, parsed: parseClusterSpiffeId(origin, spec) };
    case 'WorkloadIdentity':
      return { kind: 'pods', origin, parsed: parseWorkloadIdentity(origin, spec) };
    case 'ClusterStaticEntry':
      return { kind: 'static', origin, parsed: readStatic(spec, trustDomain, limit) };
  }
}

function readStatic(
  spec: JsonObject,
  trustDomain: TrustDomain,
  limit: ClusterLimit,
): Result<EntryDraft> {
  const draft = parseStaticEntry(spec, trustDomain);
  if (!draft.ok) return draft;
  const allowed = checkClusterLimit(draft.value, limit);
  if (!allowed.ok) return allowed;
  const parent = checkParentLimit(draft.value, limit);
  return parent.ok ? draft : parent;
}

/** Service accounts of all namespaces. */
export const SERVICE_ACCOUNTS: KubeResource = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
};
