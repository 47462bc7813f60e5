import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { ASSURANCE_BINDINGS } from '../assurance.ts';
import { MAX_TTL_SECONDS } from '../entry-draft.ts';
import { clientProblem, fieldLabelsProblem, integerProblem, quote } from './fields.ts';
import { CONNECTOR_PROOFS, type ConnectorGroupDraft } from './group.ts';
import { formatHostPattern, parseHostPattern } from './host.ts';
import { parseUpdateWindow } from './update-window.ts';

/** Most connectors that a group may be limited to. */
export const MAX_GROUP_INSTANCES = 100_000;

/** Most members of each list of a group. */
export const MAX_GROUP_LIST = 256;

const MAX_OFFLINE_SECONDS = 365 * 86_400;
const MAX_ZONE = 0xffff_ffff;
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const NAMESPACE_RULE =
  /^([a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\/)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const ACCOUNT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** A field and what is wrong with it. */
type Problem = readonly [field: string, problem: string];

/**
 * Checks everything that can be said about a group by itself; what is answered may be stored. Fails with
 * CONNECTOR_GROUP_INVALID, which names the field.
 */
export function checkGroupDraft(draft: ConnectorGroupDraft): Result<ConnectorGroupDraft> {
  const name = groupNameProblem(draft.name);
  if (name !== undefined) return invalid('name', name);
  const problem =
    numbersProblem(draft) ??
    listsProblem(draft) ??
    enrolmentProblem(draft) ??
    segmentsProblem(draft);
  if (problem !== undefined) return invalid(problem[0], problem[1]);
  const segmentHosts = draft.segmentHosts.flatMap((text) => {
    const pattern = parseHostPattern(text);
    return pattern === undefined ? [] : [formatHostPattern(pattern)];
  });
  return ok({ ...draft, segmentHosts });
}

/** What is wrong with the name of a group; undefined where it is a DNS label (RFC 1123 §2.1). */
export function groupNameProblem(name: string): string | undefined {
  if (DNS_LABEL.test(name)) return undefined;
  return `${quote(name)} is not 1 to 63 lower-case letters, digits and "-"`;
}

function numbersProblem(draft: ConnectorGroupDraft): Problem | undefined {
  const limits = [
    ['minInstances', draft.minInstances, MAX_GROUP_INSTANCES],
    ['maxInstances', draft.maxInstances, MAX_GROUP_INSTANCES],
    ['maxUnavailable', draft.maxUnavailable, MAX_GROUP_INSTANCES],
    ['svidTtlSeconds', draft.svidTtlSeconds, MAX_TTL_SECONDS],
    ['offlineSeconds', draft.offlineSeconds, MAX_OFFLINE_SECONDS],
    ['forgetAfterSeconds', draft.forgetAfterSeconds, MAX_OFFLINE_SECONDS],
  ] as const;
  for (const [field, value, most] of limits) {
    const problem = integerProblem(value, most);
    if (problem !== undefined) return [field, problem];
  }
  if (draft.maxInstances !== 0 && draft.minInstances > draft.maxInstances) {
    return ['minInstances', `is ${draft.minInstances}, more than maxInstances`];
  }
  return undefined;
}

function listsProblem(draft: ConnectorGroupDraft): Problem | undefined {
  const lists = [
    ['proofs', draft.proofs],
    ['serviceAccounts', draft.serviceAccounts],
    ['spiffeIds', draft.spiffeIds],
    ['zones', draft.zones],
    ['segmentNamespaces', draft.segmentNamespaces],
    ['segmentHosts', draft.segmentHosts],
  ] as const;
  for (const [field, { length }] of lists) {
    if (length > MAX_GROUP_LIST) return [field, `has ${length}; at most ${MAX_GROUP_LIST} may be`];
  }
  return undefined;
}

function enrolmentProblem(draft: ConnectorGroupDraft): Problem | undefined {
  if (!draft.proofs.every((proof) => CONNECTOR_PROOFS.includes(proof))) {
    return ['proofs', `may only have ${CONNECTOR_PROOFS.join(', ')}`];
  }
  for (const [at, { cluster, namespace, name }] of draft.serviceAccounts.entries()) {
    const isWhole =
      (cluster === '' || ACCOUNT_NAME.test(cluster)) &&
      DNS_LABEL.test(namespace) &&
      ACCOUNT_NAME.test(name);
    if (!isWhole) return [`serviceAccounts[${at}]`, 'has to name a namespace and an account'];
  }
  for (const [at, id] of draft.spiffeIds.entries()) {
    const problem = clientProblem(id);
    if (problem !== undefined) return [`spiffeIds[${at}]`, problem];
  }
  for (const [at, zone] of draft.zones.entries()) {
    const problem = integerProblem(zone, MAX_ZONE);
    if (problem !== undefined) return [`zones[${at}]`, problem];
  }
  if (draft.assurance !== undefined && !ASSURANCE_BINDINGS.includes(draft.assurance)) {
    return ['assurance', `has to be one of ${ASSURANCE_BINDINGS.join(', ')}`];
  }
  return undefined;
}

function segmentsProblem(draft: ConnectorGroupDraft): Problem | undefined {
  const labels = fieldLabelsProblem(draft.segmentSelector);
  if (labels !== undefined) return ['segmentSelector', labels];
  for (const [at, rule] of draft.segmentNamespaces.entries()) {
    if (!NAMESPACE_RULE.test(rule)) {
      return [`segmentNamespaces[${at}]`, `${quote(rule)} is not namespace or cluster/namespace`];
    }
  }
  for (const [at, host] of draft.segmentHosts.entries()) {
    if (parseHostPattern(host) === undefined) {
      return [`segmentHosts[${at}]`, `${quote(host)} is not a name, wildcard, address or CIDR`];
    }
  }
  if (draft.updateWindow !== '' && parseUpdateWindow(draft.updateWindow) === undefined) {
    return ['updateWindow', `${quote(draft.updateWindow)} is not such as "Sat 02:00-06:00 UTC"`];
  }
  return undefined;
}

/** Who stated the group knows which one it is. */
function invalid(field: string, problem: string): Failed {
  return fail('CONNECTOR_GROUP_INVALID', `${field} ${problem}`);
}
