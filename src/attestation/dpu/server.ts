import { fail, ok, type Result } from '../../base/result.ts';
import { checkDeviceKeys } from '../../dpu/appraise-dpu.ts';
import { dpuSelectors } from '../../dpu/selectors.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type {
  AttestationOutcome,
  AttestationRequest,
  AttestedNode,
  Challenge,
  NodeAttestor,
} from '../attestor.ts';
import { type Judged, judge } from './judge.ts';
import type { DpuAttestorParts } from './parts.ts';
import { DPU_MESSAGE_LIMITS, DPU_TYPE } from './payload.ts';
import { RELAY_LIMITS } from './relay.ts';
import { openSession, type Session } from './session.ts';
import { verifyShown } from './verify-shown.ts';

/** A BMC may take 300 s over one collection; one after the other for each component. */
const COLLECTION_MS = 330_000;

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
      challenges: 1 + RELAY_LIMITS.exchanges,
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
  const session = await openSession(parts, request, challenge);
  if (!session.ok) return session;
  const shown = verifyShown(parts, session.value);
  if (!shown.ok) return shown;
  const { dpu } = session.value;
  for (const pairs of shown.value) {
    const keys = checkDeviceKeys(
      dpu,
      pairs.map(([, evidence]) => evidence),
    );
    if (!keys.ok) return keys;
  }
  // Only now: what anybody could send without the card must not put anybody into quarantine.
  const [[[, identity] = []]] = shown.value;
  if (identity === undefined) return fail('INTERNAL', 'no component was demanded');
  const { deviceIdSha256: deviceId } = identity.chain;
  const { serial } = dpu;
  const { csrKeyHash } = request;
  const entered = await parts.inventory.enterSession({ deviceId, serial, csrKeyHash });
  if (!entered.ok) return entered;
  try {
    const judged = await judge(parts, session.value, shown.value);
    return judged.ok ? admit(parts, session.value, judged.value, deviceId) : judged;
  } finally {
    entered.value();
  }
}

function admit(
  { trustDomain, inventory }: DpuAttestorParts,
  { dpu, kinds }: Session,
  { appraisal, posture, assessment, ownKeySha256 = '' }: Judged,
  deviceId: string,
): Result<AttestationOutcome> {
  const agentId = spiffeIdFromPath(trustDomain, dpuAgentPath(deviceId));
  if (!agentId.ok) return agentId;
  const { components } = appraisal;
  const { binding } = assessment;
  const selectors = dpuSelectors({ dpu, components, evidence: kinds, binding, posture });
  if (!selectors.ok) return selectors;
  // Used up with the first attestation that holds.
  const write = inventory.attested(dpu.serial, assessment, (draft) => {
    // Another attestation may have pinned one meanwhile.
    if (ownKeySha256 !== '' && !['', ownKeySha256].includes(draft.ownKeySha256)) {
      return fail('DPU_OWN_KEY', `DPU ${dpu.serial}: another key was pinned meanwhile`);
    }
    const pinned = draft.ownKeySha256 || ownKeySha256;
    return ok({ ...draft, ...appraisal.remembered, joinSecretHash: '', ownKeySha256: pinned });
  });
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
