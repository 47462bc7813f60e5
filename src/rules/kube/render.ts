import type { SignetError } from '../../base/errors.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { parseSpiffeId, type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { EntryDraft } from '../entry.ts';
import { checkEntryDraft } from '../entry-draft.ts';
import { serverUri } from '../reserved-ids.ts';
import type { TemplateLimits } from '../template/evaluate.ts';
import { renderTemplate, type Template, type TemplateData } from '../template/template.ts';
import { isRecord } from '../template/values.ts';
import { type ClusterLimit, checkClusterLimit, liesBelow } from './cluster-limit.ts';
import type { JsonObject } from './fields.ts';
import type { PodRule } from './pod-rule.ts';
import { idInput, NO_MORE, splitSelector } from './static-entry.ts';

/** The cluster that pods are of. */
export interface ClusterFacts extends ClusterLimit {
  readonly trustDomain: TrustDomain;
  /** Such as `cluster.local`; empty where it is not told. */
  readonly clusterDomain: string;
  /** Renders the ID of a node's agent. */
  readonly parentIdTemplate: Template;
}

/** What SPIRE's agents of a cluster are called by their node attestor k8s_psat. */
export const DEFAULT_PARENT_ID_TEMPLATE =
  'spiffe://{{ .TrustDomain }}/spire/agent/k8s_psat/{{ .ClusterName }}/{{ .NodeMeta.UID }}';

/** What every template of a cluster sees. */
export function clusterData({
  trustDomain,
  clusterName,
  clusterDomain,
}: ClusterFacts): TemplateData {
  return { TrustDomain: trustDomain.name, ClusterName: clusterName, ClusterDomain: clusterDomain };
}

/** `metadata` and `spec` of an object that was kept as text by this program. */
export function partsOf(json: string): {
  readonly metadata: JsonObject;
  readonly spec: JsonObject;
} {
  const parts: unknown = JSON.parse(json);
  const part = (key: string): JsonObject => {
    const value = isRecord(parts) ? parts[key] : undefined;
    return isRecord(value) ? value : {};
  };
  return { metadata: part('metadata'), spec: part('spec') };
}

/**
 * The ID of the agent on a node. Fails with TEMPLATE_*, the codes of SPIFFE IDs, or RULE_PARENT where it
 * would be the server's, below which alias entries are.
 */
export function renderParentId(cluster: ClusterFacts, data: TemplateData): Result<SpiffeId> {
  const id = renderId(cluster.parentIdTemplate, data);
  if (!id.ok || id.value.uri !== serverUri(cluster.trustDomain)) return id;
  return fail('RULE_PARENT', "the parent ID of a pod must not be the server's");
}

/** What one pod brings to a rule. */
export interface PodFacts {
  readonly uid: string;
  readonly namespace: string;
  readonly data: TemplateData;
  readonly parentId: SpiffeId;
  /** Names of services that lead to the pod. */
  readonly services: readonly string[];
  /** Path prefixes that the pod's namespace is granted; for rules that need one. */
  readonly prefixes: readonly string[];
}

/**
 * The entry that a rule gives a pod. Fails with TEMPLATE_*, RULE_PREFIX, RULE_LIMIT and the codes of entries;
 * the message names the field of the rule.
 */
export function renderPodEntry(
  rule: PodRule,
  pod: PodFacts,
  cluster: ClusterFacts,
): Result<EntryDraft> {
  const spiffeId = renderId(rule.spiffeIdTemplate, pod.data);
  if (!spiffeId.ok) return inField('spiffeIDTemplate', spiffeId.error);
  const granted = checkPrefix(rule, spiffeId.value, pod.prefixes);
  if (!granted.ok) return granted;
  const dnsNames = renderAll('dnsNameTemplates', rule.dnsNameTemplates, pod.data);
  if (!dnsNames.ok) return dnsNames;
  const selectors = renderAll('workloadSelectorTemplates', rule.selectorTemplates, pod.data);
  if (!selectors.ok) return selectors;
  const services = rule.autoPopulateDnsNames ? serviceNames(rule, pod, cluster) : [];
  const draft = checkEntryDraft(
    {
      ...rule,
      ...NO_MORE,
      spiffeId: idInput(spiffeId.value),
      parentId: idInput(pod.parentId),
      // The UID ties the entry to this pod, the parent to its node.
      selectors: unique([`k8s:pod-uid:${pod.uid}`, ...selectors.value]).map(splitSelector),
      federatesWith: rule.federatesWith.map(({ name }) => name),
      dnsNames: unique([...dnsNames.value, ...services]),
      storeSvid: false,
    },
    cluster.trustDomain,
  );
  if (!draft.ok) return draft;
  const allowed = checkClusterLimit(draft.value, cluster);
  // The same ID, held once for all pods of a node.
  return allowed.ok ? ok({ ...draft.value, parentId: pod.parentId }) : allowed;
}

/** The path that a grant gives a namespace. What lies in `/spire` is refused with the entry. */
export function renderPrefix(
  template: Template,
  namespace: string,
  cluster: ClusterFacts,
  limits?: TemplateLimits,
): Result<string> {
  const data = { ...clusterData(cluster), PodMeta: { namespace } };
  const path = renderTemplate(template, data, limits);
  if (!path.ok) return path;
  const id = spiffeIdFromPath(cluster.trustDomain, path.value);
  if (!id.ok) return id;
  if (path.value !== '') return path;
  return fail('RULE_PREFIX', 'an empty path cannot be granted');
}

function checkPrefix(rule: PodRule, id: SpiffeId, prefixes: readonly string[]): Result<void> {
  if (rule.origin.kind !== 'WorkloadIdentity') return ok(undefined);
  // On whole segments: /tenant/shop does not cover /tenant/shopping.
  if (liesBelow(id, prefixes)) return ok(undefined);
  const granted = prefixes.length === 0 ? 'nothing' : prefixes.join(', ');
  return fail('RULE_PREFIX', `${id.uri}: namespace ${rule.origin.namespace} is granted ${granted}`);
}

/** The trust domain is judged with the entry. */
function renderId(template: Template, data: TemplateData): Result<SpiffeId> {
  const text = renderTemplate(template, data);
  if (!text.ok) return text;
  const id = parseSpiffeId(text.value);
  if (!id.ok) {
    const { code, message } = id.error;
    return fail(code, `${JSON.stringify(text.value.slice(0, 200))}: ${message}`);
  }
  return id;
}

function renderAll(
  field: string,
  templates: readonly Template[],
  data: TemplateData,
): Result<readonly string[]> {
  const texts: string[] = [];
  for (const [index, template] of templates.entries()) {
    const text = renderTemplate(template, data);
    if (!text.ok) return inField(`${field}[${index}]`, text.error);
    texts.push(text.value);
  }
  return ok(texts);
}

function inField(field: string, { code, message }: SignetError): Failed {
  return fail(code, `spec.${field}: ${message}`);
}

/** Owners of namespaces name services as they like: their rules get the names that no other can have. */
function serviceNames(
  { origin }: PodRule,
  { services, namespace }: PodFacts,
  { clusterDomain }: ClusterFacts,
): readonly string[] {
  return services
    .flatMap((service) => {
      const full = `${service}.${namespace}.svc`;
      const short = origin.kind === 'WorkloadIdentity' ? [] : [service, `${service}.${namespace}`];
      const inCluster = clusterDomain === '' ? [] : [`${full}.${clusterDomain}`];
      return [...short, full, ...inCluster];
    })
    .sort();
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
