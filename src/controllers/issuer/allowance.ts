import { fail, ok, type Result } from '../../base/result.ts';
import { liesBelow } from '../../rules/kube/cluster-limit.ts';
import type { NamespaceStanding } from '../../rules/kube/derivation.ts';
import { unmetRequirement } from '../../rules/kube/label-selector.ts';
import { type ClusterFacts, clusterData, renderPrefix } from '../../rules/kube/render.ts';
import type { TemplateLimits } from '../../rules/template/evaluate.ts';
import { renderTemplate } from '../../rules/template/template.ts';
import type { Allowance } from './issuer-object.ts';
import { type IssuerRef, issuerName } from './kinds.ts';
import type { Wanted } from './wanted.ts';

/** In which namespace a request that no pod made stands. */
export interface Standpoint {
  readonly namespace: string;
  readonly standing: NamespaceStanding;
  readonly cluster: ClusterFacts;
}

/**
 * The first allowance of an issuer that covers all of what is wanted. A SignetIssuer is written by who owns
 * the namespace, so what it gives has to lie in what the namespace is granted as well: IDs below a granted
 * prefix, DNS names of services there. Fails with ISSUER_NOT_ALLOWED, RULE_LIMIT.
 */
export function findAllowance(
  issuer: IssuerRef,
  allowances: readonly Allowance[],
  wanted: Pick<Wanted, 'spiffeId' | 'dnsNames'>,
  at: Standpoint,
): Result<Allowance> {
  const isOwned = issuer.kind === 'SignetIssuer';
  const { uri, path } = wanted.spiffeId;
  const { namespace, standing } = at;
  const { pathPrefixes, clusterName } = at.cluster;
  if (pathPrefixes.length > 0 && !liesBelow(wanted.spiffeId, pathPrefixes)) {
    const allowed = pathPrefixes.join(', ');
    return fail('RULE_LIMIT', `${uri}: cluster ${clusterName} may give ${allowed} alone`);
  }
  if (isOwned && !liesBelow(wanted.spiffeId, standing.prefixes)) {
    const granted = standing.prefixes.join(', ') || 'nothing';
    return refused(`${uri}: namespace ${namespace} is granted ${granted}`);
  }
  const fitting = allowances.filter((allowance) => coversId(allowance, path, at));
  if (fitting.length === 0) {
    return refused(`${issuerName(issuer)} does not give ${uri} in namespace ${namespace}`);
  }
  const found = fitting.find((allowance) =>
    wanted.dnsNames.every(
      (name) => (!isOwned || isServiceOf(name, at)) && coversName(allowance, name, at),
    ),
  );
  return found === undefined
    ? refused(`${issuerName(issuer)} does not give these DNS names with ${uri}`)
    : ok(found);
}

function coversId(allowance: Allowance, path: string, at: Standpoint): boolean {
  if (unmetRequirement(allowance.namespaceSelector, at.standing.labels) !== undefined) return false;
  const { prefix } = renderedFor(allowance, at);
  // On whole segments: /edge/shop does not cover /edge/shopping.
  return prefix !== undefined && (path === prefix || path.startsWith(`${prefix}/`));
}

function coversName(allowance: Allowance, name: string, at: Standpoint): boolean {
  // What covers many names is given to nobody who is not known for each of them.
  if (name.startsWith('*')) return false;
  const { names } = renderedFor(allowance, at);
  const lower = name.toLowerCase();
  // One label, never several: *.example.com does not cover a.b.example.com (RFC 6125 §6.4.3).
  const dot = lower.indexOf('.');
  return names.has(lower) || (dot > 0 && names.has(`*${lower.slice(dot)}`));
}

/** What an allowance says in one namespace. */
interface Rendered {
  readonly namespace: string;
  readonly cluster: ClusterFacts;
  readonly prefix: string | undefined;
  /** In lower case. */
  readonly names: ReadonlySet<string>;
}

/** Owners of namespaces write thousands of these templates: each is a name or a path. */
const LIMITS: TemplateLimits = { steps: 200, outputBytes: 4096 };

/** Of each allowance the last: thousands of names against thousands of templates took seconds otherwise. */
const rendered = new WeakMap<Allowance, Rendered>();

function renderedFor(allowance: Allowance, { namespace, cluster }: Standpoint): Rendered {
  const known = rendered.get(allowance);
  if (known?.namespace === namespace && known.cluster === cluster) return known;
  const data = { ...clusterData(cluster), PodMeta: { namespace } };
  const prefix = renderPrefix(allowance.pathPrefix, namespace, cluster, LIMITS);
  const names = allowance.dnsNames.flatMap((template) => {
    const name = renderTemplate(template, data, LIMITS);
    return name.ok ? name.value.toLowerCase() : [];
  });
  const fresh = { namespace, cluster, prefix: prefix.ok ? prefix.value : undefined };
  const made = { ...fresh, names: new Set(names) };
  rendered.set(allowance, made);
  return made;
}

/** `<service>.<namespace>.svc`, with the domain of the cluster or without. */
function isServiceOf(name: string, { namespace, cluster }: Standpoint): boolean {
  const [, ...rest] = name.toLowerCase().split('.');
  const short = `${namespace}.svc`;
  const within = rest.join('.');
  const { clusterDomain } = cluster;
  return within === short || (clusterDomain !== '' && within === `${short}.${clusterDomain}`);
}

function refused(why: string): Result<never> {
  return fail('ISSUER_NOT_ALLOWED', why);
}
