import type { Clock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import {
  appraiseDpu,
  checkDeviceKeys,
  componentOf,
  type DpuAppraisal,
  type DpuRules,
} from '../../dpu/appraise-dpu.ts';
import { collectAll, type OpenLook } from '../../dpu/collector.ts';
import {
  type DpuTarget,
  type EvidenceRules,
  matchTargets,
  sameDevice,
  type VerifiedEvidence,
  verifyEvidence,
} from '../../dpu/evidence.ts';
import type { DpuInventory } from '../../dpu/inventory.ts';
import type { BmcLook } from '../../dpu/out-of-band.ts';
import { dpuSelectors } from '../../dpu/selectors.ts';
import { isSilence } from '../../redfish/fleet-gate.ts';
import type { AssuranceBinding } from '../../rules/assurance.ts';
import type { DpuAssessment, DpuRecord } from '../../rules/dpu.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import type { Logger } from '../../runtime/log.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type {
  AttestationOutcome,
  AttestationRequest,
  AttestedNode,
  Challenge,
  NodeAttestor,
} from '../attestor.ts';
import { bindingNonce } from '../binding-nonce.ts';
import { DPU_MESSAGE_LIMITS, DPU_TYPE, type EvidenceKind, SERVER_NONCE_BYTES } from './payload.ts';
import { openSession, type Session } from './session.ts';

/** A BMC may take 300 s over one collection; one after the other for each component. */
const COLLECTION_MS = 330_000;

/** What the attestor stands on. */
export interface DpuAttestorParts
  extends Pick<EvidenceRules, 'spdm' | 'revocation' | 'signatures'> {
  readonly trustDomain: TrustDomain;
  readonly inventory: Pick<
    DpuInventory,
    'find' | 'attested' | 'assess' | 'unreachable' | 'enterSession'
  >;
  /** Every one of them has to be shown; the first is the one that the agent is named after. */
  readonly targets: readonly [DpuTarget, ...DpuTarget[]];
  /** Kinds of evidence that are accepted. */
  readonly kinds: readonly EvidenceKind[];
  readonly manifestFor: DpuRules['manifestFor'];
  /** Where set, evidence is also collected from the BMC itself, and both must agree (L3). */
  readonly outOfBand: OpenLook | undefined;
  /** Keeps the response that a verdict rests on; answers its name. */
  readonly keep: (serial: string, evidence: Uint8Array, atMs: number) => Promise<Result<string>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

type Pairs = readonly (readonly [DpuTarget, VerifiedEvidence])[];

/**
 * The DPU attestor (dpu-attestation §7): the agent shows signed measurements of its card's roots of
 * trust, made for a nonce that holds the key of its CSR. What is wrong goes to the log; the agent is
 * told DPU_NOT_ATTESTED and no more.
 */
export function createDpuAttestor(parts: DpuAttestorParts): NodeAttestor {
  return {
    type: DPU_TYPE,
    limits: {
      payloadBytes: DPU_MESSAGE_LIMITS.payloadBytes,
      responseBytes: DPU_MESSAGE_LIMITS.responseBytes,
      challenges: 1,
      responseMs: COLLECTION_MS,
      totalMs: 2 * COLLECTION_MS,
    },
    async attest(request, challenge) {
      const attested = await attest(parts, request, challenge);
      if (attested.ok) return attested;
      const { code, message, retryable } = attested.error;
      // The sender's own mistakes and the bounds of the conversation are for the sender to know.
      if (code === 'DPU_MESSAGE' || code.startsWith('ATTESTATION_')) return attested;
      parts.log.warn({ code, reason: message }, 'DPU not attested');
      const cause = attested.error;
      return retryable
        ? fail('DPU_NOT_JUDGED', 'the DPU cannot be judged now', { cause })
        : fail('DPU_NOT_ATTESTED', 'what was shown of the DPU is not accepted', { cause });
    },
  };
}

async function attest(
  parts: DpuAttestorParts,
  request: AttestationRequest,
  challenge: Challenge,
): Promise<Result<AttestationOutcome>> {
  const session = await openSession({ ...parts, slot: parts.spdm.slot }, request, challenge);
  if (!session.ok) return session;
  const pairs = verifyAll(parts, session.value);
  if (!pairs.ok) return pairs;
  const { dpu } = session.value;
  const keys = checkDeviceKeys(
    dpu,
    pairs.value.map(([, evidence]) => evidence),
  );
  if (!keys.ok) return keys;
  // Only now: what anybody could send without the card must not put anybody into quarantine.
  const [[, identity] = []] = pairs.value;
  if (identity === undefined) return fail('INTERNAL', 'no component was demanded');
  const { deviceIdSha256: deviceId } = identity.chain;
  const { serial } = dpu;
  const entered = await parts.inventory.enterSession({
    deviceId,
    serial,
    csrKeyHash: request.csrKeyHash,
  });
  if (!entered.ok) return entered;
  try {
    return await judge(parts, session.value, pairs.value, deviceId);
  } finally {
    entered.value();
  }
}

function verifyAll(parts: DpuAttestorParts, session: Session): Result<Pairs> {
  const { challenge, request, response } = session;
  const matched = matchTargets(response.evidence, parts.targets);
  if (!matched.ok) return matched;
  const pairs: (readonly [DpuTarget, VerifiedEvidence])[] = [];
  for (const [target, shown] of matched.value) {
    const nonce = bindingNonce({
      serverNonce: challenge.serverNonce,
      csrSpki: request.csrSpki,
      trustDomain: parts.trustDomain.name,
      session: challenge.session,
      target: target.id,
    });
    const verified = verifyEvidence(shown, target, nonce, rulesOf(parts));
    if (!verified.ok) return verified;
    pairs.push([target, verified.value]);
  }
  return ok(pairs);
}

function rulesOf({ spdm, revocation, signatures, clock }: DpuAttestorParts): EvidenceRules {
  return {
    spdm,
    atMs: clock.nowMs(),
    ...(revocation && { revocation }),
    ...(signatures && { signatures }),
  };
}

/**
 * The card is genuine, the one that is pinned, and at the other end. What is wrong from here on is told
 * by the card itself, so there is no grace: the DPU is put out.
 */
async function judge(
  parts: DpuAttestorParts,
  session: Session,
  pairs: Pairs,
  deviceId: string,
): Promise<Result<AttestationOutcome>> {
  const { dpu, kind } = session;
  const atMs = parts.clock.nowMs();
  const binding: AssuranceBinding = parts.outOfBand === undefined ? 'in-band' : 'dual';
  const found = await find(parts, dpu, pairs);
  const basis = {
    atSeconds: Math.floor(atMs / 1000),
    evidence: [kind],
    binding,
    evidenceId: await keepEvidence(parts, session, atMs),
  };
  if (!found.ok) {
    const { code, message: detail } = found.error;
    if (isSilence(found.error)) await parts.inventory.unreachable(dpu.serial, detail);
    if (FINDINGS.includes(code)) {
      const nothing = { components: [], posture: {} };
      const verdict = 'contraindicated';
      await parts.inventory.assess(dpu.serial, { ...basis, ...nothing, verdict, code, detail });
    }
    return found;
  }
  const { appraisal, posture } = found.value;
  const assessment: DpuAssessment = {
    ...basis,
    verdict: 'affirming',
    code: '',
    detail: 'attested',
    components: appraisal.components.map(componentOf),
    posture: Object.fromEntries(posture.map(nameAndValue)),
  };
  return admit(parts, session, { ...found.value, assessment, deviceId });
}

interface Found {
  readonly appraisal: DpuAppraisal;
  /** What the BMC claims, as selector values. */
  readonly posture: readonly string[];
}

/** What the card says of itself, and whether its BMC says the same to the server (L3). */
async function find(parts: DpuAttestorParts, dpu: DpuRecord, pairs: Pairs): Promise<Result<Found>> {
  const rules = { manifestFor: parts.manifestFor, atMs: parts.clock.nowMs() };
  const appraisal = appraiseDpu(dpu, pairs, rules);
  if (!appraisal.ok) return appraisal;
  if (parts.outOfBand === undefined) return ok({ appraisal: appraisal.value, posture: [] });
  const look = await parts.outOfBand(dpu);
  if (!look.ok) return look;
  try {
    const agreed = await compare(parts, look.value, pairs);
    if (!agreed.ok) return agreed;
    return ok({ appraisal: appraisal.value, posture: await look.value.posture() });
  } finally {
    await look.value.close();
  }
}

/** The server asks the BMC of the inventory itself, with other nonces. */
async function compare(
  parts: DpuAttestorParts,
  look: BmcLook,
  pairs: Pairs,
): Promise<Result<void>> {
  const { slot } = parts.spdm;
  const wanted = pairs.map(([{ id }]) => ({
    target: id,
    nonce: parts.random.bytes(SERVER_NONCE_BYTES),
    slot,
  }));
  const collected = await collectAll(look, wanted);
  if (!collected.ok) return collected;
  const matched = matchTargets(
    collected.value,
    pairs.map(([target]) => target),
  );
  if (!matched.ok) return matched;
  for (const [at, [target, evidence]] of matched.value.entries()) {
    const nonce = wanted[at]?.nonce ?? new Uint8Array();
    const verified = verifyEvidence(evidence, target, nonce, rulesOf(parts));
    if (!verified.ok) return verified;
    const shown = pairs[at]?.[1];
    const same = shown && sameDevice(shown, verified.value);
    if (same?.ok !== true) return same ?? fail('INTERNAL', 'a component got lost');
  }
  return ok(undefined);
}

function nameAndValue(selector: string): readonly [string, string] {
  const colon = selector.indexOf(':');
  return [selector.slice(0, colon), selector.slice(colon + 1)];
}

/** Without the evidence a verdict stands all the same: a full disk is no reason to let one in or out. */
async function keepEvidence(
  { keep, log }: DpuAttestorParts,
  { dpu, bytes }: Session,
  atMs: number,
): Promise<string> {
  const kept = await keep(dpu.serial, bytes, atMs);
  if (kept.ok) return kept.value;
  const { code, message } = kept.error;
  log.error({ code, reason: message, serial: dpu.serial }, 'evidence of a DPU not kept');
  return '';
}

/** What speaks against the card; anything else, such as a BMC that does not answer, is no finding. */
const FINDINGS: readonly ErrorCode[] = [
  'MEASUREMENT_FORMAT',
  'MEASUREMENT_MISSING',
  'MEASUREMENT_MISMATCH',
  'MEASUREMENT_FWID',
  'MEASUREMENT_BASELINE',
  'ROLLBACK_MINIMUM',
  'ROLLBACK_RELEASE',
  'ROLLBACK_COUNTER',
  'ROLLBACK_SVN',
  'DPU_RELAYED',
];

function admit(
  { trustDomain, inventory }: DpuAttestorParts,
  { dpu, kind }: Session,
  {
    appraisal,
    posture,
    assessment,
    deviceId,
  }: Found & {
    readonly assessment: DpuAssessment;
    readonly deviceId: string;
  },
): Result<AttestationOutcome> {
  const agentId = spiffeIdFromPath(trustDomain, dpuAgentPath(deviceId));
  if (!agentId.ok) return agentId;
  const { components } = appraisal;
  const { binding } = assessment;
  const selectors = dpuSelectors({ dpu, components, evidence: kind, binding, posture });
  if (!selectors.ok) return selectors;
  // Used up with the first attestation that holds.
  const write = inventory.attested(dpu.serial, assessment, (draft) =>
    ok({ ...draft, ...appraisal.remembered, joinSecretHash: '' }),
  );
  if (!write.ok) return write;
  const node: AttestedNode = {
    agentId: agentId.value,
    selectors: selectors.value,
    canReattest: true,
    assurance: { binding, zone: dpu.zone, release: components[0]?.release.id },
    aliasDraft: undefined,
    joinTokenHash: undefined,
    dpu: write.value,
  };
  return ok({ kind: 'attested', node });
}
