import { fail, ok, type Result } from '../base/result.ts';
import { checkDnsNames } from '../rules/dns-name.ts';
import { dpuObjection, isOut } from '../rules/dpu.ts';
import type { Entry } from '../rules/entry.ts';
import { MAX_TTL_SECONDS } from '../rules/entry-draft.ts';
import {
  isAgentId,
  isConnectorId,
  isDpuAgentId,
  isReservedId,
  serverUri,
} from '../rules/reserved-ids.ts';
import { formatStanding, type NodeStanding } from '../rules/zones.ts';
import { checkAudience } from '../spiffe/audience.ts';
import { isMemberOf, parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { quarantinedAgent } from './caller.ts';
import { nowSeconds, type PolicyContext } from './context.ts';
import type {
  AdminCaller,
  AgentCaller,
  CaGrant,
  DownstreamCaller,
  JwtGrant,
  LocalCaller,
  X509Grant,
} from './grant.ts';
import { isSealed, seal, type Unsealed } from './seal.ts';
import { nodeStanding, requireMintable, requireZone } from './zones.ts';

/** A workload's X.509-SVID, for one of the calling agent's entries. */
export function grantWorkloadX509(
  caller: AgentCaller,
  entryId: string,
  context: PolicyContext,
): Result<X509Grant> {
  const entry = authorizedEntry(caller, entryId, context);
  if (!entry.ok) return entry;
  const { spiffeId, x509SvidTtlSeconds, dnsNames, hint } = entry.value;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'workload',
    spiffeId,
    dnsNames,
    ttlSeconds: x509SvidTtlSeconds,
    hint,
    ...throughAgent(caller, entry.value, context),
  });
}

/** A workload's JWT-SVID, for one of the calling agent's entries. */
export function grantWorkloadJwt(
  caller: AgentCaller,
  entryId: string,
  audience: readonly string[],
  context: PolicyContext,
): Result<JwtGrant> {
  const checked = checkAudience(audience);
  if (!checked.ok) return checked;
  const entry = authorizedEntry(caller, entryId, context);
  if (!entry.ok) return entry;
  const { spiffeId, jwtSvidTtlSeconds, jwtSvidIncludeJti, hint } = entry.value;
  return seal<JwtGrant>({
    svid: 'jwt',
    spiffeId,
    audience: checked.value,
    includeJti: jwtSvidIncludeJti,
    ttlSeconds: jwtSvidTtlSeconds,
    hint,
    ...throughAgent(caller, entry.value, context),
  });
}

/** An agent's SVID at the end of its attestation, not to outlive the end told; the agent need not be known yet. */
export function grantAttestedAgentX509(
  agentId: SpiffeId,
  attested: Pick<NodeStanding, 'method'> & Partial<NodeStanding>,
  context: PolicyContext,
  notAfterSeconds?: number,
): Result<X509Grant> {
  const { registry } = context;
  if (!isMemberOf(agentId, registry.trustDomain) || !isAgentId(agentId)) {
    return fail('GRANT_SPIFFE_ID', `${agentId.uri} is not an agent ID of this trust domain`);
  }
  if (registry.agent(agentId)?.banned) return bannedAgent(agentId);
  const standing = requireDpuStanding(agentId, 'attests', context);
  if (!standing.ok) return standing;
  const assurance = formatStanding({
    binding: undefined,
    zone: undefined,
    release: undefined,
    ...attested,
  });
  return seal({
    ...agentGrant(agentId, `attestation:${attested.method}`, 0),
    assurance,
    notAfterSeconds,
  });
}

/** The next SVID of an agent that calls with its present one. */
export function grantRenewedAgentX509(
  caller: AgentCaller,
  context: PolicyContext,
): Result<X509Grant> {
  const { id, agent } = caller;
  if (agent.canReattest) {
    const reason = 'AGENT_MUST_REATTEST';
    return fail(reason, `agent ${id.uri} has to attest again instead`, { details: { reason } });
  }
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  const assurance = formatStanding(nodeStanding(agent, context));
  return seal({ ...agentGrant(id, `agent:${id.uri}`, agent.attestedAtSeconds), assurance });
}

/** The CA of a server below this one. */
export function grantDownstreamCa(
  caller: DownstreamCaller,
  preferredTtlSeconds: number,
  context: PolicyContext,
): Result<CaGrant> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  if (preferredTtlSeconds < 0 || preferredTtlSeconds > MAX_TTL_SECONDS) {
    return fail('TTL_RANGE', `lifetime of ${preferredTtlSeconds} s is out of range`);
  }
  const { id, entry } = caller;
  return seal<CaGrant>({
    svid: 'ca',
    spiffeId: id,
    ...NO_ORIGIN,
    requestedBy: `downstream:${id.uri}`,
    entry: Object.freeze({ id: entry.id, revision: entry.revision }),
    ttlSeconds: preferredTtlSeconds || entry.x509SvidTtlSeconds,
  });
}

/**
 * Judges a grant of {@link grantDownstreamCa} once more, right before the CA is released: its entry is
 * as it was.
 */
export function recheckCaGrant(grant: CaGrant, context: PolicyContext): Result<void> {
  if (!isSealed(grant)) return fail('GRANT_FORGED', 'the grant was not made by policy');
  const entry = context.registry.downstreamEntry(grant.spiffeId);
  const same = entry?.id === grant.entry?.id && entry?.revision === grant.entry?.revision;
  return same ? ok(undefined) : fail('GRANT_OUTDATED', `entry of ${grant.spiffeId.uri} changed`);
}

/** The server's own SVID, with the DNS names that clients without SPIFFE know it by. */
export function grantServerX509(
  trustDomain: TrustDomain,
  dnsNames: readonly string[] = [],
): Result<X509Grant> {
  const spiffeId = parseSpiffeId(serverUri(trustDomain));
  if (!spiffeId.ok) return spiffeId;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'server',
    spiffeId: spiffeId.value,
    dnsNames,
    ...NO_ORIGIN,
    requestedBy: 'self',
    ttlSeconds: 0,
  });
}

/** An X.509-SVID minted by an operator, without an entry. */
export function grantMintX509(
  caller: LocalCaller | AdminCaller,
  asked: {
    readonly spiffeId: SpiffeId;
    readonly dnsNames: readonly string[];
    readonly ttlSeconds: number;
  },
  context: PolicyContext,
): Result<X509Grant> {
  const { spiffeId, ttlSeconds } = asked;
  const mintable = checkMintable(spiffeId, ttlSeconds, context);
  if (!mintable.ok) return mintable;
  const dnsNames = checkDnsNames(asked.dnsNames);
  if (!dnsNames.ok) return dnsNames;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'mint',
    spiffeId,
    dnsNames: dnsNames.value,
    ...NO_ORIGIN,
    requestedBy: operatorName(caller),
    ttlSeconds,
  });
}

/** A JWT-SVID minted by an operator, without an entry. */
export function grantMintJwt(
  caller: LocalCaller | AdminCaller,
  asked: {
    readonly spiffeId: SpiffeId;
    readonly audience: readonly string[];
    readonly ttlSeconds: number;
  },
  context: PolicyContext,
): Result<JwtGrant> {
  const { spiffeId, ttlSeconds } = asked;
  const mintable = checkMintable(spiffeId, ttlSeconds, context);
  if (!mintable.ok) return mintable;
  const audience = checkAudience(asked.audience);
  if (!audience.ok) return audience;
  return seal<JwtGrant>({
    svid: 'jwt',
    spiffeId,
    audience: audience.value,
    includeJti: false,
    ...NO_ORIGIN,
    requestedBy: operatorName(caller),
    ttlSeconds,
  });
}

/** Of a grant that no entry and no agent stands behind. */
export const NO_ORIGIN = {
  entry: undefined,
  agentId: undefined,
  agentAttestedAtSeconds: 0,
  assurance: undefined,
  hint: '',
} as const;

function agentGrant(
  id: SpiffeId,
  requestedBy: string,
  attestedAtSeconds: number,
): Unsealed<X509Grant> {
  return {
    svid: 'x509',
    purpose: 'agent',
    spiffeId: id,
    dnsNames: [],
    ...NO_ORIGIN,
    requestedBy,
    agentId: id,
    agentAttestedAtSeconds: attestedAtSeconds,
    ttlSeconds: 0,
  };
}

/** An entry of the agent's that a workload may have an SVID of now. */
export function authorizedEntry(
  caller: AgentCaller,
  entryId: string,
  context: PolicyContext,
): Result<Entry> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  const { registry } = context;
  const entry = registry.entry(entryId);
  const expired =
    entry !== undefined &&
    entry.expiresAtSeconds !== 0 &&
    entry.expiresAtSeconds <= nowSeconds(context);
  if (entry === undefined && registry.derived.isHeld(caller.id)) {
    return fail('ENTRIES_PENDING', 'the entries of this agent are not known yet');
  }
  if (entry === undefined || expired) return notAuthorized();
  const zone = requireZone(entry.spiffeId, caller.agent, context);
  if (!zone.ok) return zone;
  if (!registry.isAuthorized(caller.id, entryId)) return notAuthorized();
  // Registration refuses these already; a row that came by another way gets nothing either.
  if (!isWorkloadId(entry.spiffeId, context)) {
    return fail('GRANT_SPIFFE_ID', `entry ${entryId} has a SPIFFE ID that no workload may have`);
  }
  return ok(entry);
}

function notAuthorized(): Result<never> {
  return fail('ENTRY_NOT_AUTHORIZED', 'entry not found or not authorized');
}

/** What grants say of the agent that they are for. */
export function throughAgent(caller: AgentCaller, entry: Entry, context: PolicyContext) {
  return {
    assurance: formatStanding(nodeStanding(caller.agent, context)),
    requestedBy: `agent:${caller.id.uri}`,
    entry: Object.freeze({ id: entry.id, revision: entry.revision }),
    agentId: caller.id,
    agentAttestedAtSeconds: caller.agent.attestedAtSeconds,
  };
}

/**
 * The DPU of an agent's node is not out. One that must attest in full stops everything but that very
 * attestation: the DPU's own.
 */
export function requireDpuStanding(
  agentId: SpiffeId,
  what: 'attests' | 'holds',
  { registry }: PolicyContext,
): Result<void> {
  const dpu = registry.dpus.ofAgent(agentId);
  const objection = dpuObjection(agentId, dpu);
  if (objection === undefined) return ok(undefined);
  const mayAttest = dpu !== undefined && !isOut(dpu) && isDpuAgentId(agentId);
  return what === 'attests' && mayAttest ? ok(undefined) : quarantinedAgent(agentId, objection);
}

/** The registry is not too far behind to judge by it. Fails with REGISTRY_STALE. */
export function requireFresh(context: PolicyContext): Result<void> {
  const stalenessMs = context.registry.stalenessMs();
  if (stalenessMs <= context.maxStalenessMs) return ok(undefined);
  const seconds = Math.floor(stalenessMs / 1000);
  return fail('REGISTRY_STALE', `no changes could be read for ${seconds} s`);
}

function checkMintable(
  spiffeId: SpiffeId,
  ttlSeconds: number,
  context: PolicyContext,
): Result<void> {
  if (!isWorkloadId(spiffeId, context)) {
    return fail('GRANT_SPIFFE_ID', `${spiffeId.uri} cannot be minted here`);
  }
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0 || ttlSeconds > MAX_TTL_SECONDS) {
    return fail('TTL_RANGE', `lifetime of ${ttlSeconds} s is out of range`);
  }
  return requireMintable(spiffeId, context.zones);
}

/**
 * A member of the trust domain, with a path, outside the area of servers and agents, and outside that
 * of connectors where they are served.
 */
export function isWorkloadId(id: SpiffeId, context: PolicyContext): boolean {
  if (context.connectors !== undefined && isConnectorId(id)) return false;
  return isMemberOf(id, context.registry.trustDomain) && id.path !== '' && !isReservedId(id);
}

/** How grants and records name an operator: `local:<uid>` or `admin:<id>`. */
export function operatorName(caller: LocalCaller | AdminCaller): string {
  return caller.kind === 'local' ? `local:${caller.uid}` : `admin:${caller.id.uri}`;
}

/** The refusal of an agent that is banned. */
export function bannedAgent(id: SpiffeId): Result<never> {
  const reason = 'AGENT_BANNED';
  return fail(reason, `agent ${id.uri} is banned`, { details: { reason } });
}
