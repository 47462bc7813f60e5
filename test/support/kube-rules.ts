import { unwrap } from '../../src/base/result.ts';
import { Derivation } from '../../src/rules/kube/derivation.ts';
import type { JsonObject } from '../../src/rules/kube/fields.ts';
import type { KubeNode, KubePod } from '../../src/rules/kube/objects.ts';
import {
  parseClusterSpiffeId,
  parseWorkloadIdentity,
  type RuleKind,
  type RuleOrigin,
} from '../../src/rules/kube/pod-rule.ts';
import { type ClusterFacts, DEFAULT_PARENT_ID_TEMPLATE } from '../../src/rules/kube/render.ts';
import type { KnownRule } from '../../src/rules/kube/rule-table.ts';
import { parseStaticEntry } from '../../src/rules/kube/static-entry.ts';
import { parseTemplate } from '../../src/rules/template/template.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';

/** A cluster for tests. */
export const CLUSTER: ClusterFacts = {
  trustDomain: unwrap(parseTrustDomain('example.org')),
  clusterName: 'rack',
  clusterDomain: 'cluster.local',
  pathPrefixes: [],
  parentIdTemplate: unwrap(parseTemplate(DEFAULT_PARENT_ID_TEMPLATE)),
};

/** The template that most clusters start with. */
export const USUAL_TEMPLATE =
  'spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}';

/** A derivation without objects; namespaces that begin with `kube-` are ignored. */
export function derivation(cluster: Partial<ClusterFacts> = {}): Derivation {
  return new Derivation({
    cluster: { ...CLUSTER, ...cluster },
    isIgnored: (name) => name.startsWith('kube-'),
  });
}

/** A pod on node-a unless told otherwise. */
export function pod(
  namespace: string,
  name: string,
  more: Partial<KubePod> & { readonly sa?: string } = {},
): KubePod {
  const { sa = 'default', ...fields } = more;
  const made = {
    namespace,
    name,
    uid: `uid-${namespace}-${name}`,
    createdAtSeconds: 1_700_000_000,
    nodeName: 'node-a',
    labels: {},
    ...fields,
  };
  const metadata = { name, namespace, uid: made.uid, labels: made.labels };
  const spec = { serviceAccountName: sa, nodeName: made.nodeName };
  return { ...made, json: JSON.stringify({ metadata, spec }) };
}

/** A node whose UID is its name after `uid-`. */
export function node(name: string): KubeNode {
  const uid = `uid-${name}`;
  return { name, uid, json: JSON.stringify({ metadata: { name, uid }, spec: {} }) };
}

/** Who a rule is; each made later than the one before unless told otherwise. */
export function origin(kind: RuleKind, name: string, more: Partial<RuleOrigin> = {}): RuleOrigin {
  return {
    kind,
    namespace: '',
    name,
    uid: `uid-${name}`,
    createdAtMs: 1_600_000_000_000,
    deletingSinceMs: undefined,
    ...more,
  };
}

/** A ClusterSPIFFEID; the usual template unless the spec has one. */
export function clusterRule(
  name: string,
  spec: JsonObject = {},
  more: Partial<RuleOrigin> = {},
): KnownRule {
  const from = origin('ClusterSPIFFEID', name, more);
  const parsed = parseClusterSpiffeId(from, { spiffeIDTemplate: USUAL_TEMPLATE, ...spec });
  return { kind: 'pods', origin: from, parsed };
}

/** A WorkloadIdentity of a namespace. */
export function workloadIdentity(namespace: string, name: string, spec: JsonObject): KnownRule {
  const from = origin('WorkloadIdentity', name, { namespace });
  return { kind: 'pods', origin: from, parsed: parseWorkloadIdentity(from, spec) };
}

/** A ClusterStaticEntry. */
export function staticRule(
  name: string,
  spec: JsonObject,
  more: Partial<RuleOrigin> = {},
): KnownRule {
  const from = origin('ClusterStaticEntry', name, more);
  return { kind: 'static', origin: from, parsed: parseStaticEntry(spec, CLUSTER.trustDomain) };
}
