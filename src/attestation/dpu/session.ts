import { createHash, timingSafeEqual } from 'node:crypto';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuTarget } from '../../dpu/evidence.ts';
import type { DpuInventory } from '../../dpu/inventory.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import { encodeBase64Url } from '../../spiffe/base64.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { verifyWithScheme } from '../../x509/signature.ts';
import type { AttestationRequest, Challenge } from '../attestor.ts';
import {
  type DpuChallenge,
  type DpuResponse,
  decodeDpuPayload,
  decodeDpuResponse,
  type EvidenceKind,
  encodeDpuChallenge,
  possessionMessage,
  SERVER_NONCE_BYTES,
} from './payload.ts';

/** What a conversation with an agent needs. */
export interface SessionParts {
  readonly inventory: Pick<DpuInventory, 'find'>;
  readonly targets: readonly DpuTarget[];
  /** Kinds of evidence that are accepted. */
  readonly kinds: readonly EvidenceKind[];
  /** Certificate slot of the devices. */
  readonly slot: number;
  readonly random: Random;
}

/** One attestation under way. */
export interface Session {
  readonly dpu: DpuRecord;
  readonly kind: EvidenceKind;
  readonly request: AttestationRequest;
  readonly challenge: DpuChallenge;
  readonly response: DpuResponse;
  /** The response as it came. */
  readonly bytes: Uint8Array;
}

/**
 * Payload → inventory → challenge → response of the same session, signed by the CSR's key. Errors:
 * DPU_MESSAGE, DPU_NOT_FOUND, DPU_NOT_ADMITTED, DPU_EVIDENCE_INCOMPLETE, DPU_SESSION, DPU_POSSESSION,
 * DPU_JOIN_SECRET, and those of the challenge.
 */
export async function openSession(
  parts: SessionParts,
  request: AttestationRequest,
  challenge: Challenge,
): Promise<Result<Session>> {
  const payload = decodeDpuPayload(request.payload);
  if (!payload.ok) return payload;
  const dpu = parts.inventory.find(payload.value.serial);
  if (!dpu.ok) return dpu;
  const { state, serial } = dpu.value;
  if (state === 'quarantined' || state === 'retired') {
    return fail('DPU_NOT_ADMITTED', `DPU ${serial} is ${state}`);
  }
  const kind = parts.kinds.find((each) => payload.value.offers.includes(each));
  if (kind === undefined) {
    return fail('DPU_EVIDENCE_INCOMPLETE', `offers only ${payload.value.offers.join(', ')}`);
  }
  const asked = makeChallenge(parts, dpu.value, kind);
  const answer = await challenge(encodeDpuChallenge(asked));
  if (!answer.ok) return answer;
  const response = decodeDpuResponse(answer.value);
  if (!response.ok) return response;
  const session = {
    dpu: dpu.value,
    kind,
    request,
    challenge: asked,
    response: response.value,
    bytes: answer.value,
  };
  const proven = checkResponse(session);
  return proven.ok ? ok(session) : proven;
}

function makeChallenge(
  { random, targets, slot }: SessionParts,
  dpu: DpuRecord,
  kind: EvidenceKind,
): DpuChallenge {
  return {
    session: encodeBase64Url(random.bytes(SERVER_NONCE_BYTES)),
    serverNonce: random.bytes(SERVER_NONCE_BYTES),
    kind,
    targets: targets.map(({ id }) => ({ id, slot })),
    joinSecret: dpu.joinSecretHash !== '',
  };
}

function checkResponse({ dpu, request, challenge, response }: Session): Result<void> {
  if (response.session !== challenge.session) {
    return fail('DPU_SESSION', `DPU ${dpu.serial}: evidence for another session`);
  }
  const key = parsePublicKey(request.csrSpki);
  if (!key.ok) return key;
  const scheme = { kind: 'ecdsa', hash: 'sha256' } as const;
  const signed = verifyWithScheme(
    key.value,
    scheme,
    possessionMessage(response),
    response.signature,
  );
  if (!signed.ok) {
    return fail('DPU_POSSESSION', `DPU ${dpu.serial}: not signed by the key of the request`);
  }
  return checkJoinSecret(dpu, response.joinSecret);
}

/** The secret of the image, at the first attestation: what came later is known by its pins. */
function checkJoinSecret({ serial, joinSecretHash }: DpuRecord, shown = ''): Result<void> {
  if (joinSecretHash === '') return ok(undefined);
  const digest = createHash('sha256').update(shown).digest();
  const expected = Buffer.from(joinSecretHash, 'hex');
  const equal = expected.length === digest.length && timingSafeEqual(expected, digest);
  return equal
    ? ok(undefined)
    : fail('DPU_JOIN_SECRET', `DPU ${serial}: the secret of its image is missing or wrong`);
}
