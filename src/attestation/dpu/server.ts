import { fail, ok, type Result } from '../../base/result.ts';
import { checkDeviceKeys, devicePinsOf } from '../../dpu/appraise-dpu.ts';
import type { DpuDraft } from '../../rules/dpu.ts';
import type {
  AttestationOutcome,
  AttestationRequest,
  Challenge,
  NodeAttestor,
} from '../attestor.ts';
import { admit } from './admit.ts';
import { conclude, examine, type Judged } from './judge.ts';
import { attestLightly, mayBeLight } from './light.ts';
import type { DpuAttestorParts } from './parts.ts';
import { DPU_MESSAGE_LIMITS, DPU_TYPE, decodeDpuPayload } from './payload.ts';
import { RELAY_LIMITS } from './relay.ts';
import { converse, readSubject, type Subject } from './session.ts';
import { checkTpmPin } from './tpm.ts';
import { type Pairs, verifyShown } from './verify-shown.ts';

/** A BMC may take 300 s over one collection; one after the other for each component. */
const COLLECTION_MS = 330_000;

/**
 * The DPU attestor (dpu-attestation §7): the agent shows signed measurements of its card's roots of
 * trust, made for a nonce that holds the key of its CSR, and what else its zone demands. What is wrong
 * goes to the log; the agent is told DPU_NOT_ATTESTED and no more.
 */
export function createDpuAttestor(parts: DpuAttestorParts): NodeAttestor {
  return {
    type: DPU_TYPE,
    limits: {
      payloadBytes: DPU_MESSAGE_LIMITS.payloadBytes,
      responseBytes: DPU_MESSAGE_LIMITS.responseBytes,
      challenges: DPU_MESSAGE_LIMITS.challenges + RELAY_LIMITS.exchanges,
      responseMs: COLLECTION_MS,
      totalMs: 2 * COLLECTION_MS,
    },
    async attest(request, challenge) {
      const attested = await attest(parts, request, challenge);
      if (attested.ok) return attested;
      const { code, message, retryable, action } = attested.error;
      // The sender's own mistakes and the bounds of the conversation are for the sender to know.
      if (code === 'DPU_MESSAGE' || code.startsWith('ATTESTATION_')) return attested;
      // Which card it says it is: who is new to a fleet has mistyped one of many.
      const payload = decodeDpuPayload(request.payload);
      const claimed = payload.ok ? payload.value.serial : undefined;
      parts.log.warn({ code, reason: message, claimed, action }, 'DPU not attested');
      const cause = attested.error;
      return retryable
        ? fail('DPU_NOT_JUDGED', 'the DPU cannot be judged now', { cause })
        : fail('DPU_NOT_ATTESTED', 'what was shown of the DPU is not accepted', { cause });
    },
  };
}

/** Lightly where that will do; in full where it turns out that it will not, in the same conversation. */
async function attest(
  parts: DpuAttestorParts,
  request: AttestationRequest,
  challenge: Challenge,
): Promise<Result<AttestationOutcome>> {
  const subject = readSubject(parts, request);
  if (!subject.ok) return subject;
  const { light } = parts;
  if (light === undefined || !mayBeLight(parts, subject.value.dpu, subject.value.kinds)) {
    return attestInFull(parts, subject.value, challenge);
  }
  const lightly = await attestLightly(parts, light, subject.value, challenge);
  if (!lightly.ok) return lightly;
  if (lightly.value !== undefined) return ok(lightly.value);
  const again = readSubject(parts, request);
  return again.ok ? attestInFull(parts, again.value, challenge) : again;
}

async function attestInFull(
  parts: DpuAttestorParts,
  subject: Subject,
  challenge: Challenge,
): Promise<Result<AttestationOutcome>> {
  const rules = parts.light?.rulesId() ?? '';
  const session = await converse(parts, subject, challenge);
  if (!session.ok) return session;
  const shown = verifyShown(parts, session.value);
  if (!shown.ok) return shown;
  const { dpu, kinds, request, bytes } = session.value;
  const { serial } = dpu;
  for (const pairs of shown.value) {
    const evidence = pairs.map(([, item]) => item);
    const keys = checkDeviceKeys(dpu, evidence);
    if (!keys.ok) return keys;
  }
  // Only now: what anybody could send without the card must not put anybody into quarantine.
  const [pairs] = shown.value;
  const deviceId = pairs[0]?.[1].chain.deviceIdSha256;
  if (deviceId === undefined) return fail('INTERNAL', 'no component was demanded');
  const { csrKeyHash } = request;
  const entered = await parts.inventory.enterSession({ deviceId, serial, csrKeyHash });
  if (!entered.ok) return entered;
  try {
    const found = await examine(parts, session.value, shown.value);
    const binding = parts.outOfBand === undefined ? 'in-band' : 'dual';
    const judged = await conclude(parts, { dpu, kinds, binding, bytes }, found);
    if (!judged.ok) return judged;
    return admit(parts, dpu, judged.value, deviceId, (draft) =>
      remember(draft, judged.value, { rules, leaves: leavesOf(pairs), light: 0 }),
    );
  } finally {
    entered.value();
  }
}

/** What an attestation in full leaves behind; the secret of the image is used up by it. */
function remember(
  draft: DpuDraft,
  { ownKeySha256 = '', tpm, appraisal: { components } }: Judged,
  lastFull: NonNullable<DpuDraft['lastFull']>,
): Result<DpuDraft> {
  const pinned = draft.ownKeySha256 || ownKeySha256;
  // Another attestation may have pinned one meanwhile.
  if (ownKeySha256 !== '' && pinned !== ownKeySha256) {
    return fail('DPU_OWN_KEY', `DPU ${draft.serial}: another key was pinned meanwhile`);
  }
  const checked = checkTpmPin(draft, tpm);
  if (!checked.ok) return checked;
  const ekSha256 = draft.ekSha256 || (tpm?.endorsement.sha256 ?? '');
  const devicePins = devicePinsOf(components.map(({ evidence }) => evidence));
  const pins = { devicePins, ownKeySha256: pinned, ekSha256 };
  return ok({ ...draft, ...pins, joinSecretHash: '', lastFull });
}

function leavesOf(pairs: Pairs) {
  return pairs.map(([{ id: target }, { chain }]) => ({ target, leaf: chain.leafSha256 }));
}
