import { timingSafeEqual } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import { type PeerFacts, resolveAgent, type SvidFacts } from '../../policy/caller.ts';
import { isExpired, isRevoked } from '../../policy/svid-facts.ts';
import { cidrContains, parseAddress, parseCidr } from '../../rules/connector/address.ts';
import type { ConnectorGroup } from '../../rules/connector/group.ts';
import type { ProvisioningKey } from '../../rules/connector/keys.ts';
import { isClientOf } from '../../rules/connector/match.ts';
import { isAgentId, isConnectorId, isReservedId } from '../../rules/reserved-ids.ts';
import { isMemberOf, type SpiffeId } from '../../spiffe/spiffe-id.ts';
import { checkKeyPolicy } from '../../x509/key-policy.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { keySha256 } from '../issue.ts';
import type { ConnectorParts } from '../parts.ts';
import { parseProvisioningKey } from './key-text.ts';
import type { PodFinder, ShownPod } from './pods.ts';
import type { EnrolCaller, OpenedRequest, ProvenClaim, ShownProof } from './request.ts';
import { verifyEnrolText } from './signed-text.ts';

/** What proofs are judged with. */
export interface ProofContext {
  readonly parts: ConnectorParts;
  readonly pods: PodFinder;
}

type Shown<K extends ShownProof['kind']> = Extract<ShownProof, { readonly kind: K }>;

/** A hash that no secret has, for keys that are not there: they take as long as wrong ones. */
const NO_HASH = '00'.repeat(32);

/**
 * Judges the proof of an enrolment: who the claimant is, and whether the group takes it. Whether there is
 * room, and whether the key is used up, the store decides. Fails with CONNECTOR_PROOF_DENIED,
 * CONNECTOR_CLAIMANT_DENIED, CONNECTOR_KEY_*, CONNECTOR_SIGNATURE, CONNECTOR_SVID, and as
 * {@link PodFinder} does.
 */
export async function proveClaim(
  context: ProofContext,
  request: OpenedRequest,
  group: ConnectorGroup,
  caller: EnrolCaller,
): Promise<Result<ProvenClaim>> {
  const { proof } = request;
  if (!group.proofs.includes(proof.kind)) {
    const taken = group.proofs.join(', ') || 'none';
    return fail('CONNECTOR_PROOF_DENIED', `group ${group.name} takes ${taken}, not ${proof.kind}`);
  }
  switch (proof.kind) {
    case 'kubernetes-token':
      return proveByToken(context, request, group, { proof, caller });
    case 'x509-svid':
      return proveBySvid(context, request, group, caller.peer);
    case 'provisioning-key':
      return proveByKey(context, request, group, { proof, caller });
    case 'bound-key':
      return proveByBoundKey(context, request, group, proof);
  }
}

async function proveByToken(
  { parts, pods }: ProofContext,
  { cluster }: OpenedRequest,
  group: ConnectorGroup,
  { proof, caller }: { readonly proof: Shown<'kubernetes-token'>; readonly caller: EnrolCaller },
): Promise<Result<ProvenClaim>> {
  const shown = { token: proof.token, cluster, group, mustBeListed: true };
  const pod = await pods.find(shown, caller.signal);
  return pod.ok ? ok({ proof: proof.kind, ...ofPod(parts, pod.value), ...NO_USE }) : pod;
}

const NO_USE = { connectorId: undefined, use: undefined, unlessAgain: undefined } as const;

/** One connector for each pod: its restarts, with or without the key that it had, are the same one. */
function ofPod(
  { registry }: ConnectorParts,
  pod: ShownPod,
): Pick<ProvenClaim, 'claimant' | 'agentId' | 'mayRekey' | 'facts'> {
  const { cluster, podUid, namespace, podName, serviceAccount, nodeName, credentialId } = pod;
  const { agentId } = pod;
  const hasAttested = agentId !== undefined && registry.agent(agentId) !== undefined;
  const account = `${namespace}/${serviceAccount}`;
  const facts = { cluster, pod: `${namespace}/${podName}`, podUid, account, nodeName };
  return {
    claimant: `pod:${cluster}/${podUid}`,
    agentId: hasAttested ? agentId : undefined,
    mayRekey: true,
    facts: credentialId === undefined ? facts : { ...facts, credentialId },
  };
}

/**
 * Secret first: what else is wrong with a key learns only who has it. One that may not be used is good for
 * a repetition yet, which uses nothing: whether it is one, the store knows.
 */
async function proveByKey(
  { parts, pods }: ProofContext,
  { cluster, keySha256: csrKey }: OpenedRequest,
  group: ConnectorGroup,
  { proof, caller }: { readonly proof: Shown<'provisioning-key'>; readonly caller: EnrolCaller },
): Promise<Result<ProvenClaim>> {
  const shown = parseProvisioningKey(proof.key);
  if (!shown.ok) return shown;
  const { id: keyId, secretHash } = shown.value;
  const key = parts.connectors.provisioningKey(keyId);
  const isRight = sameHash(secretHash, key?.secretHash ?? NO_HASH) && key !== undefined;
  const usable = isRight
    ? checkUsable(key, group, caller, parts.clock.nowMs())
    : fail('CONNECTOR_KEY_UNKNOWN', 'there is no such provisioning key');
  if (proof.token === '') {
    const facts = { provisioningKey: keyId };
    const own = { claimant: `csr:${csrKey}`, agentId: undefined, mayRekey: true, facts };
    return withKey(parts, group, own, usable);
  }
  // Nobody has an API server asked who shows no key at all.
  if (!usable.ok && !isRight) return usable;
  const token = { token: proof.token, cluster, group, mustBeListed: false };
  const pod = await pods.find(token, caller.signal);
  if (!pod.ok) return usable.ok ? pod : usable;
  const own = ofPod(parts, pod.value);
  const facts = { ...own.facts, provisioningKey: keyId };
  return withKey(parts, group, { ...own, facts }, usable);
}

/** What a claimant uses of its key, which may be used or not; fails where that leaves nothing. */
function withKey(
  { connectors }: ConnectorParts,
  group: ConnectorGroup,
  own: ReturnType<typeof ofPod>,
  usable: Result<string>,
): Result<ProvenClaim> {
  const claim = { ...own, proof: 'provisioning-key', connectorId: undefined } as const;
  if (usable.ok) {
    const use = { kind: 'provisioning-key', keyId: usable.value } as const;
    return ok({ ...claim, use, unlessAgain: undefined });
  }
  if (connectors.connectorOf(own.claimant)?.group !== group.name) return usable;
  return ok({ ...claim, use: { kind: 'repetition' }, unlessAgain: usable });
}

/** Takes as long wherever they differ. */
function sameHash(shown: string, kept: string): boolean {
  const [a, b] = [Buffer.from(shown, 'hex'), Buffer.from(kept, 'hex')];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Answers the ID of the key. */
function checkUsable(
  { id, group: keyGroup, cidrs, expiresAtSeconds }: ProvisioningKey,
  group: ConnectorGroup,
  { remoteAddress }: EnrolCaller,
  nowMs: number,
): Result<string> {
  if (keyGroup !== group.name) {
    return fail('CONNECTOR_KEY_GROUP', `provisioning key ${id} is not for group ${group.name}`);
  }
  const address = parseAddress(remoteAddress);
  const isFrom = (text: string): boolean => {
    const cidr = parseCidr(text);
    return cidr !== undefined && address !== undefined && cidrContains(cidr, address);
  };
  if (cidrs.length > 0 && !cidrs.some(isFrom)) {
    return fail('CONNECTOR_KEY_CIDR', `provisioning key ${id} is not for ${remoteAddress}`);
  }
  if (expiresAtSeconds * 1000 > nowMs) return ok(id);
  return fail('CONNECTOR_KEY_EXPIRED', `provisioning key ${id} has expired`);
}

/** Signature first, so that only who has the private key learns whether it is registered. */
function proveByBoundKey(
  { parts }: ProofContext,
  { text }: OpenedRequest,
  group: ConnectorGroup,
  { publicKey: spki, signature, recoveryCount }: Shown<'bound-key'>,
): Result<ProvenClaim> {
  const parsed = parsePublicKey(spki);
  const allowed = parsed.ok ? checkKeyPolicy(parsed.value) : parsed;
  if (!allowed.ok) return allowed;
  const signed = verifyEnrolText(allowed.value, text, signature, 'signature of the bound key');
  if (!signed.ok) return signed;
  const id = keySha256(allowed.value.spki);
  const key = parts.connectors.boundKey(id);
  if (key === undefined) return fail('CONNECTOR_KEY_UNKNOWN', 'the bound key is not registered');
  if (key.group !== group.name) {
    return fail('CONNECTOR_KEY_GROUP', `the bound key is not for group ${group.name}`);
  }
  return ok({
    proof: 'bound-key',
    claimant: `bound:${id}`,
    agentId: undefined,
    mayRekey: false,
    connectorId: key.connectorId,
    use: { kind: 'bound-key', keyId: id, recoveryCount },
    unlessAgain: undefined,
    facts: { boundKey: id, recoveryCount: String(recoveryCount) },
  });
}

/**
 * Replicas share a SPIFFE ID, and an agent gives one SVID to all processes that are the same to it: what
 * tells connectors apart is the key that they enrol.
 */
function proveBySvid(
  { parts }: ProofContext,
  { keySha256: csrKey }: OpenedRequest,
  group: ConnectorGroup,
  peer: PeerFacts,
): Result<ProvenClaim> {
  const standing = requireProvingSvid(parts, peer);
  if (!standing.ok) return standing;
  const { id, serialDecimal: svidSerial } = standing.value;
  if (!isClientOf(group.spiffeIds, id.uri)) {
    return fail('CONNECTOR_CLAIMANT_DENIED', `${id.uri} is not of spiffeIds of ${group.name}`);
  }
  return ok({
    proof: 'x509-svid',
    claimant: `svid:${id.uri}#${csrKey}`,
    agentId: isAgentId(id) ? id : nodeOf(parts, id),
    mayRekey: true,
    ...NO_USE,
    facts: { svid: id.uri, svidSerial },
  });
}

/** A live SVID of a workload or of an agent; those of servers and of connectors prove nothing here. */
function requireProvingSvid({ policy }: ConnectorParts, peer: PeerFacts): Result<SvidFacts> {
  if (peer.kind !== 'svid') return fail('CONNECTOR_SVID', 'the connection shows no X.509-SVID');
  const { id } = peer;
  const refused = (why: string): Result<never> => fail('CONNECTOR_SVID', `${id.uri} ${why}`);
  if (!isMemberOf(id, policy.registry.trustDomain)) return refused('is of another trust domain');
  if (isRevoked(peer, policy)) return refused('was revoked');
  if (isExpired(peer, policy)) return refused('has expired');
  if (isAgentId(id)) {
    const agent = resolveAgent(peer, policy);
    return agent.ok ? ok(peer) : refused(`is not that of a live agent: ${agent.error.message}`);
  }
  if (isReservedId(id) || isConnectorId(id)) return refused('is neither a workload nor an agent');
  return ok(peer);
}

/** The agent of a workload's node, where all entries of that SPIFFE ID lead to one that has attested. */
function nodeOf({ registry }: ConnectorParts, id: SpiffeId): SpiffeId | undefined {
  const parents = new Map<string, SpiffeId>();
  for (const { parentId } of registry.entriesBySpiffeId(id)) parents.set(parentId.uri, parentId);
  const [parent, ...others] = parents.values();
  if (parent === undefined || others.length > 0) return undefined;
  return registry.agent(parent)?.id;
}
