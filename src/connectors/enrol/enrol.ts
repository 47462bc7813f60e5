import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { IssuedX509 } from '../../issuance/issuer.ts';
import { requireConnectorNode } from '../../policy/connector-grants.ts';
import { requireFresh } from '../../policy/grants.ts';
import { quote } from '../../rules/connector/fields.ts';
import type { ConnectorGroup } from '../../rules/connector/group.ts';
import type { ConnectorRecord } from '../../rules/connector/record.ts';
import { connectorPath } from '../../rules/reserved-ids.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { Enrolled } from '../../store/connectors.ts';
import { certifyConnector, keySha256 } from '../issue.ts';
import type { ConnectorParts } from '../parts.ts';
import { liveSerialsOf, revokeSerials } from '../revoke.ts';
import type { Challenges } from './challenges.ts';
import type { EnrolMetrics } from './metrics.ts';
import type { PodFinder } from './pods.ts';
import { proveClaim } from './proofs.ts';
import type { EnrolCaller, EnrolRequest, OpenedRequest, ProvenClaim } from './request.ts';
import { enrolText, verifyEnrolText } from './signed-text.ts';

/** What enrolments are judged and answered with. */
export interface EnrolContext {
  readonly parts: ConnectorParts;
  readonly challenges: Challenges;
  readonly pods: PodFinder;
  readonly metrics: EnrolMetrics;
  /** How far a connector's clock may be away, in milliseconds. */
  readonly maxClockSkewMs: number;
  /** Whether the server shows, or has shown lately, a certificate with this SHA-256. */
  readonly isOwnCertificate: (sha256: Uint8Array) => boolean;
  /** Whether a connector has a session open on this server. */
  readonly isOpen: (connectorId: string) => boolean;
}

/** A connector that was enrolled, or was again. */
export interface EnrolledConnector {
  readonly connector: ConnectorRecord;
  readonly issued: IssuedX509;
  readonly again: boolean;
  readonly recoveryCount: bigint;
  /** Its clock minus ours, in milliseconds. */
  readonly clockOffsetMs: number;
  /** For the audit line. */
  readonly facts: Readonly<Record<string, string>>;
}

const ID_BYTES = 8;

/**
 * Enrols a connector: key and challenge, clock and way, proof, policy, then one write of all that it uses
 * up, and an SVID. A crash after the write costs nothing: the same claimant is answered again. Fails with
 * CONNECTOR_* and as issuance does.
 */
export async function enrolConnector(
  context: EnrolContext,
  request: EnrolRequest,
  caller: EnrolCaller,
): Promise<Result<EnrolledConnector>> {
  const { clock, log } = context.parts;
  const beganMs = clock.monotonicMs();
  const { kind: proof } = request.proof;
  const done = await enrol(context, request, caller);
  const outcome = done.ok ? (done.value.again ? 'again' : 'ok') : done.error.code;
  context.metrics.ended(proof, outcome, (clock.monotonicMs() - beganMs) / 1000);
  if (!done.ok) {
    const { code, message: reason } = done.error;
    const { remoteAddress } = caller;
    log.warn(
      { remoteAddress, group: request.group, proof, code, reason },
      'connector not enrolled',
    );
  }
  return done;
}

async function enrol(
  context: EnrolContext,
  request: EnrolRequest,
  caller: EnrolCaller,
): Promise<Result<EnrolledConnector>> {
  const { parts } = context;
  const opened = openRequest(context, request);
  if (!opened.ok) return opened;
  const way = checkWay(context, request);
  if (!way.ok) return way;
  const fresh = requireFresh(parts.policy);
  if (!fresh.ok) return fresh;
  const group = parts.connectors.group(request.group);
  if (group === undefined) {
    return fail('CONNECTOR_GROUP_UNKNOWN', `there is no group ${quote(request.group)}`);
  }
  const claim = await proveClaim(context, opened.value, group, caller);
  if (!claim.ok) return claim;
  const used = context.challenges.use(request.challenge, opened.value.key.spki);
  if (!used.ok) return used;
  const written = await writeDown(context, opened.value, group, claim.value);
  if (!written.ok) return written;
  const { again, recoveryCount, connector: before } = written.value;
  const isSameKey = before.keySha256 === opened.value.keySha256;
  const replaced = await endReplaced(parts, before, again && isSameKey);
  if (!replaced.ok) return replaced;
  const requestedBy = `enrolment:${claim.value.proof}`;
  const certified = await certifyConnector(parts, before.id, request.csr, requestedBy);
  if (!certified.ok) return certified;
  const { facts } = claim.value;
  return ok({ ...certified.value, again, recoveryCount, clockOffsetMs: way.value, facts });
}

/** That the connector holds the key, now, and that it is one that may be certified. */
function openRequest(
  { parts, challenges }: EnrolContext,
  request: EnrolRequest,
): Result<OpenedRequest> {
  const key = parts.issuer.checkCsr(request.csr);
  if (!key.ok) return key;
  const answerable = challenges.check(request.challenge, key.value.spki);
  if (!answerable.ok) return answerable;
  const text = enrolText(request.challenge, request.csr);
  const signed = verifyEnrolText(
    key.value,
    text,
    request.challengeSignature,
    'challenge_signature',
  );
  if (!signed.ok) return signed;
  return ok({ ...request, key: key.value, keySha256: keySha256(key.value.spki), text });
}

/** What would keep certificates from working; answers how far the clock is away. */
function checkWay(
  { parts, maxClockSkewMs, isOwnCertificate }: EnrolContext,
  { clockMs, serverCertificateSha256: shown }: EnrolRequest,
): Result<number> {
  const offsetMs = clockMs - parts.clock.nowMs();
  if (Math.abs(offsetMs) > maxClockSkewMs) {
    const far = `${Math.abs(offsetMs)} ms ${offsetMs > 0 ? 'ahead of' : 'behind'}`;
    return fail('CONNECTOR_CLOCK_SKEW', `the connector's clock is ${far} the server's`, {
      details: { offsetMs },
    });
  }
  if (shown.length > 0 && !isOwnCertificate(shown)) {
    const hash = toHex(shown);
    return fail('CONNECTOR_TLS_INTERCEPTED', `${hash} is no certificate that this server shows`);
  }
  return ok(offsetMs);
}

type Written = Extract<Enrolled, { readonly outcome: 'enrolled' }>;

/** Policy, then the one transaction that claims everything. */
async function writeDown(
  context: EnrolContext,
  { keySha256: key, instance }: OpenedRequest,
  { name: group }: ConnectorGroup,
  claim: ProvenClaim,
): Promise<Result<Written>> {
  const { parts } = context;
  const { proof, claimant, agentId, use } = claim;
  const known = parts.connectors.connectorOf(claimant);
  const newId = claim.connectorId ?? drawId(parts);
  const newSpiffeId = spiffeIdFromPath(parts.registry.trustDomain, connectorPath(group, newId));
  if (!newSpiffeId.ok) return newSpiffeId;
  const spiffeId = known?.group === group ? known.spiffeId : newSpiffeId.value;
  const node = requireConnectorNode({ group, spiffeId, agentId }, parts.policy);
  if (!node.ok) return node;
  const isOpen = known !== undefined && context.isOpen(known.id);
  // Whoever comes while it runs, and has not its key, is another.
  if (isOpen && known.keySha256 !== key) return suspectClone(parts, claim, known, 'it runs');
  const written = await parts.connectors.enrolConnector({
    claim: { proof, claimant, keySha256: key, agentId },
    group,
    newId,
    newSpiffeId: newSpiffeId.value,
    instance,
    use,
    takesNewKey: claim.mayRekey && !isOpen,
    nowSeconds: Math.floor(parts.clock.nowMs() / 1000),
  });
  if (!written.ok) return written;
  if (written.value.outcome === 'enrolled') return ok(written.value);
  return refusalOf(parts, claim, group, written.value);
}

function drawId({ random }: ConnectorParts): string {
  return toHex(random.bytes(ID_BYTES));
}

async function refusalOf(
  parts: ConnectorParts,
  claim: ProvenClaim,
  group: string,
  refused: Exclude<Enrolled, Written>,
): Promise<Result<never>> {
  switch (refused.outcome) {
    case 'clone':
      return suspectClone(parts, claim, refused.connector, 'another has its key or its counter');
    case 'revoked': {
      const { uri } = refused.connector.spiffeId;
      return fail('CONNECTOR_REVOKED', `connector ${uri} of ${claim.claimant} was revoked`);
    }
    case 'group-full':
      return fail('CONNECTOR_GROUP_FULL', `${group} has its ${refused.maxInstances} connectors`);
    case 'group-missing':
      return fail('CONNECTOR_GROUP_UNKNOWN', `there is no group ${quote(group)}`);
    case 'no-repetition':
      return claim.unlessAgain ?? fail('CONNECTOR_KEY_UNKNOWN', 'the key may not be used');
    case 'key-unknown':
      return fail('CONNECTOR_KEY_UNKNOWN', 'the key was deleted meanwhile');
    case 'key-group':
      return fail('CONNECTOR_KEY_GROUP', `the key is not for group ${group}`);
    case 'key-expired':
      return fail('CONNECTOR_KEY_EXPIRED', 'the key has expired');
    case 'key-exhausted':
      return fail('CONNECTOR_KEY_EXHAUSTED', 'the key has been used as often as it may be');
  }
}

/** Two of one: refused, and on record, since one of them is not ours. */
async function suspectClone(
  parts: ConnectorParts,
  { claimant, proof }: ProvenClaim,
  known: ConnectorRecord | undefined,
  why: string,
): Promise<Result<never>> {
  const spiffeId = known?.spiffeId.uri;
  parts.log.warn({ audit: 'connector clone', claimant, spiffeId, why }, 'a clone is suspected');
  const recorded = await parts.recordAct?.({
    act: 'suspect-clone',
    ...(spiffeId === undefined ? {} : { spiffeId }),
    reason: `${claimant}: ${why}`,
    requestedBy: `enrolment:${proof}`,
  });
  if (recorded?.ok === false) {
    const { code, message: reason } = recorded.error;
    parts.log.error({ code, reason, claimant }, 'a suspected clone is not in the ledger');
  }
  return fail('CONNECTOR_CLONE_SUSPECTED', `connector ${spiffeId ?? claimant}: ${why}`);
}

/**
 * With a new key in place of a lost one, what the lost one was certified for ends: also where that was
 * written down before, and no SVID came of it. Before the new one is signed: from then on a retry looks
 * like any other, and what was not ended would stay good.
 */
async function endReplaced(
  parts: ConnectorParts,
  before: ConnectorRecord,
  isRepeated: boolean,
): Promise<Result<void>> {
  if (isRepeated) return ok(undefined);
  const serials = liveSerialsOf(before, Math.floor(parts.clock.nowMs() / 1000));
  return revokeSerials(parts, before, serials, 'superseded');
}
