import { fail, ok, type Result } from '../../base/result.ts';
import { liesBelow } from '../../rules/kube/cluster-limit.ts';
import type { NamespaceStanding } from '../../rules/kube/derivation.ts';
import { unmetRequirement } from '../../rules/kube/label-selector.ts';
import { type ClusterFacts, clusterData, renderPrefix } from '../../rules/kube/render.ts';
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

function coversId(
  { namespaceSelector, pathPrefix }: Allowance,
  path: string,
  at: Standpoint,
): boolean {
  if (unmetRequirement(namespaceSelector, at.standing.labels) !== undefined) return false;
  const prefix = renderPrefix(pathPrefix, at.namespace, at.cluster);
  // On whole segments: /edge/shop does not cover /edge/shopping.
  return prefix.ok && (path === prefix.value || path.startsWith(`${prefix.value}/`));
}

function coversName(
  { dnsNames }: Allowance,
  name: string,
  { cluster, namespace }: Standpoint,
): boolean {
  // What covers many names is given to nobody who is not known for each of them.
  if (name.startsWith('*')) return false;
  const data = { ...clusterData(cluster), PodMeta: { namespace } };
  const lower = name.toLowerCase();
  return dnsNames.some((template) => {
    const pattern = renderTemplate(template, data);
    if (!pattern.ok) return false;
    const allowed = pattern.value.toLowerCase();
    if (!allowed.startsWith('*.')) return allowed !== '' && allowed === lower;
    // One label, never several: *.example.com does not cover a.b.example.com (RFC 6125 §6.4.3).
    const dot = lower.indexOf('.');
    return dot > 0 && lower.slice(dot) === allowed.slice(1);
  });
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
