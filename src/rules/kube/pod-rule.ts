import { fail, ok, type Result } from '../../base/result.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { Template } from '../template/template.ts';
import { FieldReader, type JsonObject } from './fields.ts';
import { type LabelSelector, readLabelSelector } from './label-selector.ts';

/** Kinds of objects that entries are derived from. */
export type RuleKind = 'ClusterSPIFFEID' | 'ClusterStaticEntry' | 'WorkloadIdentity';

/** Which object an entry is derived from, and what decides between two. */
export interface RuleOrigin {
  readonly kind: RuleKind;
  /** Empty for kinds that have none. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
  /** Unix milliseconds since it is being deleted; undefined while it is not. */
  readonly deletingSinceMs: number | undefined;
}

/** A rule that gives pods an entry each. */
export interface PodRule {
  readonly origin: RuleOrigin;
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
  readonly spiffeIdTemplate: Template;
  readonly dnsNameTemplates: readonly Template[];
  readonly selectorTemplates: readonly Template[];
  /** 0 takes the server's default. */
  readonly x509SvidTtlSeconds: number;
  readonly jwtSvidTtlSeconds: number;
  readonly federatesWith: readonly TrustDomain[];
  readonly admin: boolean;
  readonly downstream: boolean;
  /** Whether the names of the pod's services are added. */
  readonly autoPopulateDnsNames: boolean;
  readonly hint: string;
  /** Only for pods that no other rule gives an entry. */
  readonly fallback: boolean;
}

/** Class of a rule: which server acts on it. Readable also where the rest of the rule is not. */
export function classOf(spec: JsonObject): string {
  return typeof spec.className === 'string' ? spec.className : '';
}

/** A ClusterSPIFFEID of spire.spiffe.io/v1alpha1. Fails with RULE_SPEC or TEMPLATE_*. */
export function parseClusterSpiffeId(origin: RuleOrigin, spec: JsonObject): Result<PodRule> {
  const fields = new FieldReader(spec);
  const spiffeIdTemplate = fields.template('spiffeIDTemplate');
  const rule = {
    origin,
    namespaceSelector: readLabelSelector(fields, 'namespaceSelector'),
    podSelector: readLabelSelector(fields, 'podSelector'),
    dnsNameTemplates: fields.templates('dnsNameTemplates'),
    selectorTemplates: fields.templates('workloadSelectorTemplates'),
    x509SvidTtlSeconds: fields.seconds('ttl'),
    jwtSvidTtlSeconds: fields.seconds('jwtTtl'),
    federatesWith: fields.trustDomains('federatesWith'),
    admin: fields.flag('admin'),
    downstream: fields.flag('downstream'),
    autoPopulateDnsNames: fields.flag('autoPopulateDNSNames'),
    hint: fields.text('hint'),
    fallback: fields.flag('fallback'),
  };
  return whole(fields, rule, spiffeIdTemplate);
}

/**
 * A WorkloadIdentity of signet.dev/v1alpha1: what the owner of a namespace may say of the pods in it. It
 * has no say over DNS names, selectors, federation, administration or lower servers.
 */
export function parseWorkloadIdentity(origin: RuleOrigin, spec: JsonObject): Result<PodRule> {
  const fields = new FieldReader(spec);
  const spiffeIdTemplate = fields.template('spiffeIDTemplate');
  const rule = {
    origin,
    namespaceSelector: [],
    podSelector: readLabelSelector(fields, 'podSelector'),
    dnsNameTemplates: [],
    selectorTemplates: [],
    x509SvidTtlSeconds: fields.seconds('ttl'),
    jwtSvidTtlSeconds: fields.seconds('jwtTtl'),
    federatesWith: [],
    admin: false,
    downstream: false,
    autoPopulateDnsNames: fields.flag('autoPopulateDNSNames'),
    hint: fields.text('hint'),
    fallback: false,
  };
  return whole(fields, rule, spiffeIdTemplate);
}

function whole(
  fields: FieldReader,
  rule: Omit<PodRule, 'spiffeIdTemplate'>,
  spiffeIdTemplate: Template | undefined,
): Result<PodRule> {
  const answered = fields.answer(rule);
  if (!answered.ok) return answered;
  if (spiffeIdTemplate === undefined) return fail('RULE_SPEC', 'spec.spiffeIDTemplate is missing');
  return ok({ ...answered.value, spiffeIdTemplate });
}

/** A path prefix that a cluster administrator grants to namespaces, for their WorkloadIdentities. */
export interface PrefixGrant {
  readonly name: string;
  readonly namespaceSelector: LabelSelector;
  /** Renders a path such as `/tenant/shop`, from the namespace alone. */
  readonly pathPrefixTemplate: Template;
}

/** A WorkloadIdentityGrant of signet.dev/v1alpha1. Fails with RULE_SPEC or TEMPLATE_*. */
export function parsePrefixGrant(name: string, spec: JsonObject): Result<PrefixGrant> {
  const fields = new FieldReader(spec);
  const pathPrefixTemplate = fields.template('pathPrefix');
  const namespaceSelector = readLabelSelector(fields, 'namespaceSelector');
  const answered = fields.answer(undefined);
  if (!answered.ok) return answered;
  if (pathPrefixTemplate === undefined) return fail('RULE_SPEC', 'spec.pathPrefix is missing');
  return ok({ name, namespaceSelector, pathPrefixTemplate });
}

/**
 * Which of two rules that give the same entry it is taken from: one of the cluster before one of a
 * namespace, whose owner is not to put his in its place; then the older one, then the one that is not being
 * deleted, then by UID (as spire-controller-manager decides). Negative where it is the first.
 */
export function comparePrecedence(a: RuleOrigin, b: RuleOrigin): number {
  const owned = Number(a.namespace !== '') - Number(b.namespace !== '');
  if (owned !== 0) return owned;
  if (a.createdAtMs !== b.createdAtMs) return a.createdAtMs - b.createdAtMs;
  const [one, other] = [a.deletingSinceMs, b.deletingSinceMs];
  if (one !== other) {
    if (one === undefined) return -1;
    return other === undefined ? 1 : other - one;
  }
  return a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0;
}

/** A rule in one word: `ClusterSPIFFEID/default`, `WorkloadIdentity/shop/web`. */
export function ruleName({ kind, namespace, name }: RuleOrigin): string {
  return namespace === '' ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}
