import { createHash } from 'node:crypto';
import { z } from 'zod';
import { concatBytes, utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { decodeBase64, encodeBase64 } from '../../spiffe/base64.ts';
import { jsonToPlain, parseJsonObject } from '../../spiffe/json.ts';

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
} as const;

/** Bytes of the server's nonce, and of the random part of a session's name. */
export const SERVER_NONCE_BYTES = 32;

const LABEL = utf8('signet dpu evidence/v1\0');
const MAX_DEPTH = 6;

/**
 * Kinds of evidence: `spdm-redfish` is collected through the BMC, `spdm-direct` by the agent's own SPDM
 * requester. What is verified is the same.
 */
export const EVIDENCE_KINDS = ['spdm-redfish', 'spdm-direct'] as const;

/** One of {@link EVIDENCE_KINDS}. */
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

const version = z.literal(1);
const kind = z.enum(EVIDENCE_KINDS);
const targetId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const sessionName = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

function base64(maxBytes: number) {
  return z
    .string()
    .max(Math.ceil(maxBytes / 3) * 4)
    .transform((text, context): Uint8Array => {
      const bytes = decodeBase64(text);
      if (bytes !== undefined && bytes.length > 0 && bytes.length <= maxBytes) return bytes;
      context.addIssue({ code: 'custom', message: `not base64 of 1 to ${maxBytes} bytes` });
      return z.NEVER;
    });
}

const payloadSchema = z.strictObject({
  v: version,
  serial: z.string().min(1).max(64),
  offers: z.array(kind).min(1).max(EVIDENCE_KINDS.length).readonly(),
});

const challengeSchema = z.strictObject({
  v: version,
  session: sessionName,
  serverNonce: base64(SERVER_NONCE_BYTES),
  kind,
  targets: z
    .array(z.strictObject({ id: targetId, slot: z.int().min(0).max(7) }))
    .min(1)
    .max(DPU_MESSAGE_LIMITS.targets)
    .readonly(),
  joinSecret: z.boolean(),
});

const evidenceSchema = z.strictObject({
  target: targetId,
  messages: base64(DPU_MESSAGE_LIMITS.evidenceBytes),
  certificates: z
    .array(base64(DPU_MESSAGE_LIMITS.chainBytes))
    .min(1)
    .max(DPU_MESSAGE_LIMITS.certificates)
    .readonly(),
});

const responseSchema = z.strictObject({
  v: version,
  session: sessionName,
  evidence: z.array(evidenceSchema).min(1).max(DPU_MESSAGE_LIMITS.targets).readonly(),
  joinSecret: z.string().min(1).max(512).optional(),
  signature: base64(256),
});

/** What an agent claims to begin with; a serial is looked up and believed by nobody. */
export type DpuPayload = Omit<z.output<typeof payloadSchema>, 'v'>;

/** What the server asks for. */
export type DpuChallenge = Omit<z.output<typeof challengeSchema>, 'v'>;

/** Evidence of one component: SPDM messages, and certificates in DER in any order. */
export type TargetEvidence = z.output<typeof evidenceSchema>;

/** What the agent answers. */
export type DpuResponse = Omit<z.output<typeof responseSchema>, 'v'>;

/** The first message of an attestation. */
export function encodeDpuPayload({ serial, offers }: DpuPayload): Buffer {
  return encode({ v: 1, serial, offers });
}

/** Reads a payload; fails with DPU_MESSAGE. */
export function decodeDpuPayload(bytes: Uint8Array): Result<DpuPayload> {
  return decode('payload', payloadSchema, bytes, DPU_MESSAGE_LIMITS.payloadBytes);
}

/** What the server sends. */
export function encodeDpuChallenge({ serverNonce, ...rest }: DpuChallenge): Buffer {
  return encode({ v: 1, ...rest, serverNonce: encodeBase64(serverNonce) });
}

/** Reads a challenge; fails with DPU_MESSAGE. */
export function decodeDpuChallenge(bytes: Uint8Array): Result<DpuChallenge> {
  const read = decode('challenge', challengeSchema, bytes, DPU_MESSAGE_LIMITS.challengeBytes);
  if (!read.ok || read.value.serverNonce.length === SERVER_NONCE_BYTES) return read;
  return fail('DPU_MESSAGE', `challenge: a nonce of ${read.value.serverNonce.length} bytes`);
}

/** What the agent answers. */
export function encodeDpuResponse({ evidence, signature, ...rest }: DpuResponse): Buffer {
  const items = evidence.map(({ target, messages, certificates }) => ({
    target,
    messages: encodeBase64(messages),
    certificates: certificates.map(encodeBase64),
  }));
  return encode({ v: 1, ...rest, evidence: items, signature: encodeBase64(signature) });
}

/** Reads a response; fails with DPU_MESSAGE. */
export function decodeDpuResponse(bytes: Uint8Array): Result<DpuResponse> {
  return decode('response', responseSchema, bytes, DPU_MESSAGE_LIMITS.responseBytes);
}

/**
 * What the key of the CSR signs (dpu-attestation §7.1, step 5): the session and the SHA-256 of every
 * piece of evidence, each part with its length, so that no other evidence yields the same bytes.
 */
export function possessionMessage({
  session,
  evidence,
}: Pick<DpuResponse, 'session' | 'evidence'>): Uint8Array {
  const digests = evidence.map(({ target, messages, certificates }) =>
    sha256(concatBytes([utf8(target), messages, ...certificates].flatMap(withLength))),
  );
  return sha256(concatBytes([LABEL, ...[utf8(session), ...digests].flatMap(withLength)]));
}

function withLength(part: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, part];
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function encode(message: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify(message));
}

function decode<T extends { readonly v: 1 }>(
  what: string,
  schema: z.ZodType<T>,
  bytes: Uint8Array,
  maxBytes: number,
): Result<Omit<T, 'v'>> {
  const json = parseJsonObject(bytes, { maxBytes, maxDepth: MAX_DEPTH });
  if (!json.ok) return fail('DPU_MESSAGE', `${what}: ${json.error.message}`);
  const checked = schema.safeParse(jsonToPlain(json.value));
  if (checked.success) return ok(checked.data);
  const [issue] = checked.error.issues;
  return fail('DPU_MESSAGE', `${what}: ${issue?.path.join('.')}: ${issue?.message}`);
}
