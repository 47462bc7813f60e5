import { z } from 'zod';
import { utf8 } from '../../base/bytes.ts';
import type { Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import { base64Field, digestOfParts, type MessageRules, readMessage } from '../strict-message.ts';
import { MAX_TPM_MESSAGE_BYTES } from '../tpm/payload.ts';

/** Name of the attestor: `AttestationData.type`, the segment of agent IDs, and the selectors' type. */
export const DPU_HOST_TYPE = 'dpu_host';

/** Bounds of the messages, in bytes. */
export const DPU_HOST_LIMITS = {
  payloadBytes: 48 * 1024,
  challengeBytes: 8 * 1024,
  responseBytes: 80 * 1024,
  /** A question for the TPM of the host. */
  tpmQuestionBytes: 5000,
  voucherBytes: 4096,
  certificateBytes: 4096,
  certificates: 4,
  /** What the endpoint of the DPU takes, and answers. */
  requestBytes: 4096,
  answerBytes: 32 * 1024,
} as const;

/** Bytes of the server's nonce. */
export const HOST_NONCE_BYTES = 32;

/** Where the endpoint of the DPU answers. */
export const VOUCHER_PATH = '/v1/voucher';

/** Header that every request has: what a browser or a proxy sends by itself does not have it. */
export const VOUCHER_HEADER = 'signet-voucher';

const ASKING = utf8('signet dpu_host request/v1');
const SHOWING = utf8('signet dpu_host voucher/v1');

const version = z.literal(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const nonce = base64Field(HOST_NONCE_BYTES, HOST_NONCE_BYTES);
const spki = base64Field(256, 32);
const signature = base64Field(256, 8);
const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const certificates = z
  .array(base64Field(DPU_HOST_LIMITS.certificateBytes, 64))
  .min(1)
  .max(DPU_HOST_LIMITS.certificates)
  .readonly();
const voucherText = z.string().min(16).max(DPU_HOST_LIMITS.voucherBytes);

/** The host as one of its agents states it; empty where it does not know. */
export const hostSchema = z.strictObject({
  serial: z.string().max(64),
  uuid: z.union([uuid, z.literal('')]),
  pf0Mac: z.string().regex(/^([0-9a-f]{2}(:[0-9a-f]{2}){5})?$/),
});

/** Boot id of a kernel. */
export const bootSchema = uuid;

const tpmMessage = base64Field(MAX_TPM_MESSAGE_BYTES).optional();

const payloadSchema = z.strictObject({ v: version, tpm: tpmMessage });

const challengeSchema = z.strictObject({
  v: version,
  nonce,
  tpm: base64Field(DPU_HOST_LIMITS.tpmQuestionBytes).optional(),
});

const requestSchema = z.strictObject({
  v: version,
  key: sha256,
  nonce,
  boot: bootSchema,
  host: hostSchema,
  anchor: spki,
  proof: signature,
});

const answerSchema = z.strictObject({ v: version, voucher: voucherText, x5c: certificates });

const responseSchema = z.strictObject({
  v: version,
  voucher: voucherText,
  x5c: certificates,
  anchor: spki,
  proof: signature,
  signature,
  tpm: tpmMessage,
});

/** What the agent of a host asks its DPU for; all of it is a claim but the key that signed `proof`. */
export type VoucherRequest = Omit<z.output<typeof requestSchema>, 'v'>;

/** What the DPU answers: a JWS, and the chain of the SVID whose key signed it. */
export type VoucherAnswer = Omit<z.output<typeof answerSchema>, 'v'>;

/** What the agent says first: an encoded `TpmPayload`, where it has a TPM to show. */
export type HostPayload = Omit<z.output<typeof payloadSchema>, 'v'>;

/** What the server asks: a voucher for the nonce, and an encoded `TpmChallenge` over the same. */
export type HostChallenge = Omit<z.output<typeof challengeSchema>, 'v'>;

/** What the agent shows the server. */
export type DpuHostResponse = Omit<z.output<typeof responseSchema>, 'v'>;

/** The first message: nothing that anybody would have to believe. */
export function encodeHostPayload({ tpm }: HostPayload = {}): Buffer {
  return encode(encodedTpm(tpm));
}

/** Reads a payload; fails with DPU_HOST_MESSAGE. */
export function decodeHostPayload(bytes: Uint8Array): Result<HostPayload> {
  return readMessage(bytes, payloadSchema, rules('payload', DPU_HOST_LIMITS.payloadBytes));
}

/** What the server sends. */
export function encodeHostChallenge({ nonce: serverNonce, tpm }: HostChallenge): Buffer {
  return encode({ nonce: encodeBase64(serverNonce), ...encodedTpm(tpm) });
}

/** Reads a challenge; fails with DPU_HOST_MESSAGE. */
export function decodeHostChallenge(bytes: Uint8Array): Result<HostChallenge> {
  return readMessage(bytes, challengeSchema, rules('challenge', DPU_HOST_LIMITS.challengeBytes));
}

/** The request to the DPU. */
export function encodeVoucherRequest(request: VoucherRequest): Buffer {
  const { key, boot, host } = request;
  const proof = encodeBase64(request.proof);
  const anchor = encodeBase64(request.anchor);
  return encode({ key, nonce: encodeBase64(request.nonce), boot, host, anchor, proof });
}

/** Reads a request; fails with DPU_HOST_MESSAGE. */
export function decodeVoucherRequest(bytes: Uint8Array): Result<VoucherRequest> {
  return readMessage(bytes, requestSchema, rules('request', DPU_HOST_LIMITS.requestBytes));
}

/** The DPU's answer. */
export function encodeVoucherAnswer({ voucher, x5c }: VoucherAnswer): Buffer {
  return encode({ voucher, x5c: x5c.map(encodeBase64) });
}

/** Reads an answer; fails with DPU_HOST_MESSAGE. */
export function decodeVoucherAnswer(bytes: Uint8Array): Result<VoucherAnswer> {
  return readMessage(bytes, answerSchema, rules('answer', DPU_HOST_LIMITS.answerBytes));
}

/** What the agent shows the server. */
export function encodeHostResponse(response: DpuHostResponse): Buffer {
  return encode({
    voucher: response.voucher,
    x5c: response.x5c.map(encodeBase64),
    anchor: encodeBase64(response.anchor),
    proof: encodeBase64(response.proof),
    signature: encodeBase64(response.signature),
    ...encodedTpm(response.tpm),
  });
}

/** Reads a response; fails with DPU_HOST_MESSAGE. */
export function decodeHostResponse(bytes: Uint8Array): Result<DpuHostResponse> {
  return readMessage(bytes, responseSchema, rules('response', DPU_HOST_LIMITS.responseBytes));
}

/**
 * What the key of the boot signs to ask for a voucher: everything that the voucher will say, so that a
 * recorded request yields a voucher for nobody else.
 */
export function askingMessage(
  trustDomain: string,
  { key, nonce: serverNonce, boot, host, anchor }: Omit<VoucherRequest, 'proof'>,
): Uint8Array {
  const texts = [trustDomain, key, boot, host.serial, host.uuid, host.pf0Mac];
  return digestOfParts([ASKING, serverNonce, anchor, ...texts.map(utf8)]);
}

/** What the key of the CSR signs: the voucher, in this attestation. */
export function showingMessage(serverNonce: Uint8Array, voucher: string): Uint8Array {
  return digestOfParts([SHOWING, serverNonce, utf8(voucher)]);
}

function encodedTpm(tpm: Uint8Array | undefined): Readonly<Record<string, string>> {
  return tpm === undefined ? {} : { tpm: encodeBase64(tpm) };
}

function rules(what: string, maxBytes: number): MessageRules {
  return { what, maxBytes, code: 'DPU_HOST_MESSAGE' };
}

function encode(message: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, ...message }));
}
