import { fail, ok, type Result } from '../base/result.ts';
import { recheckConnectorGrant } from './connector-grants.ts';
import type { PolicyContext } from './context.ts';
import type { JwtGrant, X509Grant } from './grant.ts';
import { bannedAgent, requireDpuStanding } from './grants.ts';
import { isSealed } from './seal.ts';
import { requireUnvouched, requireZone } from './zones.ts';

/**
 * Judges a grant once more, right before its signature is released: policy made it, and since then
 * neither was the agent banned, deleted or attested anew, nor did the entry change or leave the agent.
 */
export function recheckGrant(grant: X509Grant | JwtGrant, context: PolicyContext): Result<void> {
  if (!isSealed(grant)) return fail('GRANT_FORGED', 'the grant was not made by policy');
  if (grant.svid === 'x509' && grant.purpose === 'connector') {
    return recheckConnectorGrant(grant, context);
  }
  const { registry } = context;
  if (grant.agentId === undefined) return recheckWithoutNode(grant, context);
  const agent = registry.agent(grant.agentId);
  if (agent?.banned) return bannedAgent(grant.agentId);
  const attests =
    grant.svid === 'x509' && grant.purpose === 'agent' && grant.agentAttestedAtSeconds === 0;
  const standing = requireDpuStanding(grant.agentId, attests ? 'attests' : 'holds', context);
  if (!standing.ok) return standing;
  // At its first attestation there is no agent yet, and no entry either.
  const attesting = grant.entry === undefined && grant.agentAttestedAtSeconds === 0;
  if (attesting) return ok(undefined);
  if (agent === undefined || agent.attestedAtSeconds !== grant.agentAttestedAtSeconds) {
    return fail('GRANT_OUTDATED', `agent ${grant.agentId.uri} was deleted or attested anew`);
  }
  if (grant.entry === undefined) return ok(undefined);
  const zone = agent === undefined ? ok(undefined) : requireZone(grant.spiffeId, agent, context);
  if (!zone.ok) return zone;
  const { id, revision } = grant.entry;
  if (registry.entry(id)?.revision !== revision || !registry.isAuthorized(grant.agentId, id)) {
    return fail('GRANT_OUTDATED', `entry ${id} changed`);
  }
  return ok(undefined);
}

/** Of a pod whose node need not be attested: its rule is as it was, and nobody vouches against it. */
function recheckWithoutNode(grant: X509Grant | JwtGrant, context: PolicyContext): Result<void> {
  if (grant.entry === undefined) return ok(undefined);
  const entry = context.registry.entry(grant.entry.id);
  if (entry?.revision !== grant.entry.revision) {
    return fail('GRANT_OUTDATED', `entry ${grant.entry.id} changed`);
  }
  if (context.registry.agent(entry.parentId)?.banned) return bannedAgent(entry.parentId);
  return requireUnvouched(grant.spiffeId, context.zones);
}
