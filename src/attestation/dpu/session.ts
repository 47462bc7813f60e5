import { createHash, timingSafeEqual } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import { encodeBase64Url } from '../../spiffe/base64.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { verifyWithScheme } from '../../x509/signature.ts';
import type { AttestationRequest, Challenge } from '../attestor.ts';
import { bindingNonce } from '../binding-nonce.ts';
import type { ProvenTpm } from '../tpm/server.ts';
import type { DpuAttestorParts } from './parts.ts';
import {
  type DpuChallenge,
  type DpuResponse,
  decodeDpuPayload,
  decodeDpuResponse,
  type EvidenceKind,
  encodeDpuChallenge,
  encodeDpuResponse,
  evidenceTarget,
  possessionMessage,
  SERVER_NONCE_BYTES,
  type TargetEvidence,
} from './payload.ts';
import { wantedKinds } from './plan.ts';
import { askTpm } from './tpm.ts';
import { collectByTunnel, type Tunnelled } from './tunnel.ts';

/** What a conversation with an agent needs. */
export type SessionParts = Pick<
  DpuAttestorParts,
  | 'inventory'
  | 'targets'
  | 'kinds'
  | 'require'
  | 'spdm'
  | 'tpm'
  | 'trustDomain'
  | 'clock'
  | 'random'
>;

/** One attestation under way. */
export interface Session {
  readonly dpu: DpuRecord;
  /** Kinds of evidence that were asked for. */
  readonly kinds: readonly EvidenceKind[];
  readonly request: AttestationRequest;
  readonly response: DpuResponse;
  /** What the agent showed, and what it relayed; nothing of it is verified. */
  readonly shown: readonly TargetEvidence[];
  /** Its TPM, proven; undefined where none was asked for. */
  readonly tpm: ProvenTpm | undefined;
  /** What is kept of it. */
  readonly bytes: Uint8Array;
  /** The binding nonce for a kind of evidence of a component. */
  readonly nonceFor: (kind: EvidenceKind, id: string) => Uint8Array;
}

/** What a conversation is about. */
export type Subject = Pick<Session, 'dpu' | 'kinds' | 'request'>;

/**
 * What a payload claims to be, and what that DPU has to show. Errors: DPU_MESSAGE, DPU_NOT_FOUND,
 * DPU_NOT_ADMITTED, DPU_EVIDENCE_INCOMPLETE.
 */
export function readSubject(parts: SessionParts, request: AttestationRequest): Result<Subject> {
  const payload = decodeDpuPayload(request.payload);
  if (!payload.ok) return payload;
  const dpu = parts.inventory.find(payload.value.serial);
  if (!dpu.ok) return dpu;
  const { state, serial } = dpu.value;
  if (state === 'quarantined' || state === 'retired') {
    return fail('DPU_NOT_ADMITTED', `DPU ${serial} is ${state}`);
  }
  const kinds = wantedKinds(dpu.value, payload.value.offers, parts);
  return kinds.ok ? ok({ dpu: dpu.value, kinds: kinds.value, request }) : kinds;
}

/**
 * One challenge and its response, of the same session and signed by the CSR's key, after what is to be
 * relayed for it. Errors: DPU_MESSAGE, DPU_SESSION, DPU_EVIDENCE_INCOMPLETE, DPU_POSSESSION,
 * DPU_JOIN_SECRET, and those of the challenge and of the tunnel.
 */
export async function converse(
  parts: SessionParts,
  subject: Subject,
  challenge: Challenge,
): Promise<Result<Session>> {
  const { dpu, kinds, request } = subject;
  const session = encodeBase64Url(parts.random.bytes(SERVER_NONCE_BYTES));
  const serverNonce = parts.random.bytes(SERVER_NONCE_BYTES);
  const binding = { serverNonce, csrSpki: request.csrSpki, trustDomain: parts.trustDomain.name };
  const nonceFor = (kind: EvidenceKind, id: string): Uint8Array =>
    bindingNonce({ ...binding, session, target: evidenceTarget(kind, id) });
  const nonceOf = (id: string): Uint8Array => nonceFor('spdm-tunnel', id);
  const tunnelled = kinds.includes('spdm-tunnel')
    ? await collectByTunnel(parts, { session, serverNonce, nonceOf }, challenge)
    : ok<Tunnelled | undefined>(undefined);
  if (!tunnelled.ok) return tunnelled;
  const tpm = kinds.includes('tpm2')
    ? await askTpm(parts, session, request, challenge)
    : ok<ProvenTpm | undefined>(undefined);
  if (!tpm.ok) return tpm;
  const { evidence: relayedEvidence = [], relayed } = tunnelled.value ?? {};
  const asked: DpuChallenge = {
    session,
    serverNonce,
    kinds,
    targets: parts.targets.map(({ id }) => ({ id, slot: parts.spdm.slot })),
    joinSecret: dpu.joinSecretHash !== '',
    ...(relayed && { relayed }),
  };
  const answer = await challenge(encodeDpuChallenge(asked));
  if (!answer.ok) return answer;
  const response = decodeDpuResponse(answer.value);
  if (!response.ok) return response;
  const proven = checkResponse(subject, asked, response.value);
  if (!proven.ok) return proven;
  const shown = [...response.value.evidence, ...relayedEvidence];
  const bytes =
    relayed === undefined
      ? answer.value
      : encodeDpuResponse({ ...response.value, evidence: shown });
  return ok({ ...subject, response: response.value, shown, tpm: tpm.value, bytes, nonceFor });
}

function checkResponse(
  { dpu, kinds, request }: Subject,
  { session, relayed }: DpuChallenge,
  response: DpuResponse,
): Result<void> {
  if (response.session !== session) {
    return fail('DPU_SESSION', `DPU ${dpu.serial}: evidence for another session`);
  }
  // What came through the tunnel the server collected itself: nobody shows it.
  const stray = response.evidence.find(
    ({ kind }) => kind === 'spdm-tunnel' || !kinds.includes(kind),
  );
  if (stray !== undefined) {
    return fail('DPU_EVIDENCE_INCOMPLETE', `${stray.target}: ${stray.kind} was not asked for`);
  }
  if (kinds.includes('x509pop') !== (response.ownKey !== undefined)) {
    return fail('DPU_EVIDENCE_INCOMPLETE', `DPU ${dpu.serial}: a key of its own, or none`);
  }
  const key = parsePublicKey(request.csrSpki);
  if (!key.ok) return key;
  const scheme = { kind: 'ecdsa', hash: 'sha256' } as const;
  const message = possessionMessage({ ...response, relayed });
  const signed = verifyWithScheme(key.value, scheme, message, response.signature);
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
