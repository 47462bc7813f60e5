import { z } from 'zod';
import { concatBytes, utf8 } from '../../base/bytes.ts';
import type { Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import { base64Field, withLength } from '../strict-message.ts';
import { MAX_X509POP_CERTIFICATES } from '../x509pop/payload.ts';
import { type RelayRequest, relaySchema } from './relay.ts';
import { type TpmQuestion, tpmQuestionSchema } from './tpm-question.ts';
import {
  decodeMessage,
  encodeMessage,
  sessionField,
  sha256,
  targetField,
  versionField,
} from './wire.ts';

/** Name of the attestor: `AttestationData.type`, the segment of agent IDs, and the selectors' type. */
export const DPU_TYPE = 'dpu';

/** Bounds of the messages, in bytes: what an anonymous caller may send at all is more. */
export const DPU_MESSAGE_LIMITS = {
  payloadBytes: 4096,
  challengeBytes: 8192,
  responseBytes: 240 * 1024,
  /** Evidence of one component. */
  evidenceBytes: 64 * 1024,
  chainBytes: 16 * 1024,
  certificates: 8,
  targets: 4,
  /** Challenges beside what is relayed: two of a TPM, and a light attestation that turns into one in full. */
  challenges: 4,
} as const;

/** Bytes of the server's nonce, and of the random part of a session's name. */
export const SERVER_NONCE_BYTES = 32;

const LABEL = utf8('signet dpu evidence/v1\0');
const OWN_KEY_LABEL = utf8('signet dpu own key/v1\0');

/**
 * Kinds of signed measurements, by the way that they come: `spdm-redfish` through the BMC, `spdm-direct`
 * by the agent's own SPDM requester, `spdm-tunnel` by the server's requester, whose bytes the agent
 * relays. What is verified is the same.
 */
export const SPDM_KINDS = ['spdm-redfish', 'spdm-direct', 'spdm-tunnel'] as const;

/**
 * Kinds of evidence (dpu-attestation §7.2): measurements; `x509pop`, possession of a key of its own; `tpm2`,
 * a TPM of the card.
 */
export const EVIDENCE_KINDS = [...SPDM_KINDS, 'x509pop', 'tpm2'] as const;

/** One of {@link SPDM_KINDS}. */
export type SpdmKind = (typeof SPDM_KINDS)[number];

/** One of {@link EVIDENCE_KINDS}. */
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

/**
 * What the binding nonce of a piece of evidence is of: the component where the BMC collects
 * (dpu-attestation §7.1), else kind and component, so that evidence of one kind is none of another. A
 * component's name has no slash.
 */
export function evidenceTarget(kind: EvidenceKind, id: string): string {
  return kind === 'spdm-redfish' ? id : `${kind}/${id}`;
}

/** What the proof of the own key is a signature over, beside a nonce of the agent's. */
export function ownKeyChallenge(nonce: Uint8Array): Uint8Array {
  return concatBytes([OWN_KEY_LABEL, nonce]);
}

const kindField = z.enum(EVIDENCE_KINDS);

const payloadSchema = z.strictObject({
  v: versionField,
  serial: z.string().min(1).max(64),
  offers: z.array(kindField).min(1).max(EVIDENCE_KINDS.length).readonly(),
});

const challengeSchema = z.strictObject({
  v: versionField,
  step: z.literal('show'),
  session: sessionField,
  serverNonce: base64Field(SERVER_NONCE_BYTES, SERVER_NONCE_BYTES),
  kinds: z.array(kindField).min(1).max(EVIDENCE_KINDS.length).readonly(),
  targets: z
    .array(z.strictObject({ id: targetField, slot: z.int().min(0).max(7) }))
    .min(1)
    .max(DPU_MESSAGE_LIMITS.targets)
    .readonly(),
  joinSecret: z.boolean(),
  relayed: base64Field(32, 32).optional(),
});

const questionSchema = z.discriminatedUnion('step', [
  challengeSchema,
  relaySchema,
  tpmQuestionSchema,
]);

const evidenceSchema = z.strictObject({
  kind: z.enum(SPDM_KINDS),
  target: targetField,
  messages: base64Field(DPU_MESSAGE_LIMITS.evidenceBytes),
  certificates: z
    .array(base64Field(DPU_MESSAGE_LIMITS.chainBytes))
    .min(1)
    .max(DPU_MESSAGE_LIMITS.certificates)
    .readonly(),
});

const ownKeySchema = z
  .strictObject({
    spki: base64Field(1024).optional(),
    certificates: z
      .array(base64Field(DPU_MESSAGE_LIMITS.chainBytes))
      .min(1)
      .max(MAX_X509POP_CERTIFICATES)
      .readonly()
      .optional(),
    proof: base64Field(4096),
  })
  .refine(({ spki, certificates }) => (spki === undefined) !== (certificates === undefined), {
    message: 'must have spki or certificates, one of them',
  });

const responseSchema = z.strictObject({
  v: versionField,
  session: sessionField,
  evidence: z
    .array(evidenceSchema)
    .max(DPU_MESSAGE_LIMITS.targets * SPDM_KINDS.length)
    .readonly(),
  ownKey: ownKeySchema.optional(),
  joinSecret: z.string().min(1).max(512).optional(),
  signature: base64Field(256),
});

/** What an agent claims to begin with; a serial is looked up and believed by nobody. */
export type DpuPayload = Omit<z.output<typeof payloadSchema>, 'v'>;

/** What the server asks for; `relayed` is the digest of what it had relayed, where it had. */
export type DpuChallenge = Omit<z.output<typeof challengeSchema>, 'v' | 'step'>;

/** What the server may send: a question for the card that is to be relayed, one for its TPM, or the challenge. */
export type DpuQuestion =
  | ({ readonly step: 'show' } & DpuChallenge)
  | ({ readonly step: 'relay' } & RelayRequest)
  | ({ readonly step: 'tpm' } & TpmQuestion);

/** Evidence of one component: SPDM messages, and certificates in DER in any order. */
export type TargetEvidence = z.output<typeof evidenceSchema>;

/**
 * A key of the agent's own and the proof that it holds it, an encoded `X509PopResponse`: a bare key, or
 * certificates, the leaf first.
 */
export type OwnKey = z.output<typeof ownKeySchema>;

/** What the agent answers. */
export type DpuResponse = Omit<z.output<typeof responseSchema>, 'v'>;

/** The first message of an attestation. */
export function encodeDpuPayload({ serial, offers }: DpuPayload): Buffer {
  return encodeMessage({ v: 1, serial, offers });
}

/** Reads a payload; fails with DPU_MESSAGE. */
export function decodeDpuPayload(bytes: Uint8Array): Result<DpuPayload> {
  return decodeMessage('payload', payloadSchema, bytes, DPU_MESSAGE_LIMITS.payloadBytes);
}

/** What the server sends. */
export function encodeDpuChallenge({ serverNonce, relayed, ...rest }: DpuChallenge): Buffer {
  return encodeMessage({
    v: 1,
    step: 'show',
    ...rest,
    serverNonce: encodeBase64(serverNonce),
    ...(relayed && { relayed: encodeBase64(relayed) }),
  });
}

/** Reads what the server sent; fails with DPU_MESSAGE. */
export function decodeDpuQuestion(bytes: Uint8Array): Result<DpuQuestion> {
  return decodeMessage('challenge', questionSchema, bytes, DPU_MESSAGE_LIMITS.challengeBytes);
}

/** What the agent answers. */
export function encodeDpuResponse({ evidence, ownKey, signature, ...rest }: DpuResponse): Buffer {
  const items = evidence.map(({ messages, certificates, ...item }) => ({
    ...item,
    messages: encodeBase64(messages),
    certificates: certificates.map(encodeBase64),
  }));
  return encodeMessage({
    v: 1,
    ...rest,
    evidence: items,
    ...(ownKey && { ownKey: writtenKey(ownKey) }),
    signature: encodeBase64(signature),
  });
}

function writtenKey({ spki, certificates, proof }: OwnKey): Readonly<Record<string, unknown>> {
  return {
    ...(spki && { spki: encodeBase64(spki) }),
    ...(certificates && { certificates: certificates.map(encodeBase64) }),
    proof: encodeBase64(proof),
  };
}

/** Reads a response; fails with DPU_MESSAGE. */
export function decodeDpuResponse(bytes: Uint8Array): Result<DpuResponse> {
  return decodeMessage('response', responseSchema, bytes, DPU_MESSAGE_LIMITS.responseBytes);
}

/** What a response shows, as its signature covers it. */
export interface Possession extends Pick<DpuResponse, 'session' | 'evidence' | 'ownKey'> {
  /** SHA-256 of what was relayed, where something was. */
  readonly relayed?: Uint8Array | undefined;
}

/**
 * What the key of the CSR signs (dpu-attestation §7.1, step 5): the session, the digest of what was
 * relayed, the proof of the own key, and the SHA-256 of every piece of evidence, each part with its
 * length, so that no other evidence yields the same bytes.
 */
export function possessionMessage({ session, evidence, ownKey, relayed }: Possession): Uint8Array {
  const digests = evidence.map(({ kind, target, messages, certificates }) =>
    sha256(concatBytes([utf8(kind), utf8(target), messages, ...certificates].flatMap(withLength))),
  );
  const nothing = new Uint8Array();
  const parts = [utf8(session), relayed ?? nothing, ownKey?.proof ?? nothing, ...digests];
  return sha256(concatBytes([LABEL, ...parts.flatMap(withLength)]));
}
