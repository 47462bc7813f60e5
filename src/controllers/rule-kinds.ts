import type { KubeResource } from '../kube/resource.ts';
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

/** Which classes of rules are acted on. */
export interface ClassFilter {
  readonly className: string;
  readonly watchClassless: boolean;
}

/** Reads a rule; one of another class is not looked into. */
export function readRule(
  { origin, spec }: RuleObject,
  filter: ClassFilter,
  trustDomain: TrustDomain,
): KnownRule {
  const className = classOf(spec);
  const isOurs = className === filter.className || (className === '' && filter.watchClassless);
  if (!isOurs) return { kind: 'other-class', origin, className };
  switch (origin.kind) {
    case 'ClusterSPIFFEID':
      return { kind: 'pods', origin, parsed: parseClusterSpiffeId(origin, spec) };
    case 'WorkloadIdentity':
      return { kind: 'pods', origin, parsed: parseWorkloadIdentity(origin, spec) };
    case 'ClusterStaticEntry':
      return { kind: 'static', origin, parsed: parseStaticEntry(spec, trustDomain) };
  }
}

/** Service accounts of all namespaces. */
export const SERVICE_ACCOUNTS: KubeResource = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
};
