import { ok, type Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import type { JsonValue } from '../../spiffe/json.ts';
import { MAX_EVENT_LOG_BYTES } from '../../tpm/event-log.ts';
import { BINDING_NONCE_BYTES } from '../binding-nonce.ts';
import { bytesAt, listAt, malformed, readAttestationJson } from '../json-payload.ts';

/** Name of the attestor: `AttestationData.type`, type of its selectors, and the segment of agent IDs. */
export const TPM_TYPE = 'tpm';

/** Target of the binding nonce of a TPM's quote. */
export const TPM_TARGET = 'tpm';

/** Largest message in bytes, a response with an event log left out. */
export const MAX_TPM_MESSAGE_BYTES = 32 * 1024;

/** Largest response in bytes where an event log comes with it, in base64. */
export const MAX_TPM_LOG_RESPONSE_BYTES =
  MAX_TPM_MESSAGE_BYTES + Math.ceil(MAX_EVENT_LOG_BYTES / 3) * 4;

/** Registers that a TPM has. */
export const MAX_PCRS = 24;

/** Version of this exchange. */
const VERSION = 1;

/** Largest structure or certificate in bytes. */
const MAX_FIELD_BYTES = 4096;

/** What an agent shows first. */
export interface TpmPayload {
  /** DER; undefined where the TPM has none. */
  readonly ekCertificate: Uint8Array | undefined;
  /** TPMT_PUBLIC. */
  readonly ekPublic: Uint8Array;
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array;
}

/** What the server asks. */
export interface TpmChallenge {
  /** 32 hex digits. */
  readonly session: string;
  readonly nonce: Uint8Array;
  /** TPMS_ID_OBJECT. */
  readonly credential: Uint8Array;
  readonly encryptedSeed: Uint8Array;
  /** Registers of the SHA-256 bank to be quoted, ascending. */
  readonly pcrs: readonly number[];
  /** Whether the log of the boot is to come along. */
  readonly eventLog: boolean;
}

/** What the agent answers. */
export interface TpmResponse {
  /** What the credential held. */
  readonly secret: Uint8Array;
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  /** Values of the registers, in their order. */
  readonly values: readonly Uint8Array[];
  /** What firmware measured, in the TCG's crypto-agile form; only where it was asked for. */
  readonly eventLog: Uint8Array | undefined;
}

/** A payload as it travels. */
export function encodeTpmPayload({ ekCertificate, ekPublic, akPublic }: TpmPayload): Buffer {
  return json({
    v: VERSION,
    ek_certificate: ekCertificate === undefined ? null : encodeBase64(ekCertificate),
    ek_public: encodeBase64(ekPublic),
    ak_public: encodeBase64(akPublic),
  });
}

/** Reads a payload; fails with ATTESTATION_PAYLOAD. */
export function decodeTpmPayload(bytes: Uint8Array): Result<TpmPayload> {
  const object = readAttestationJson(bytes, MAX_TPM_MESSAGE_BYTES);
  if (!object.ok) return object;
  if (object.value.get('v') !== VERSION) return malformed('version is not 1');
  const field = (name: string): Result<Buffer> =>
    bytesAt(object.value, name, { min: 1, max: MAX_FIELD_BYTES });
  const certificate = object.value.get('ek_certificate') ?? null;
  const ekCertificate = certificate === null ? ok(undefined) : field('ek_certificate');
  if (!ekCertificate.ok) return ekCertificate;
  const ekPublic = field('ek_public');
  if (!ekPublic.ok) return ekPublic;
  const akPublic = field('ak_public');
  if (!akPublic.ok) return akPublic;
  return ok({
    ekCertificate: ekCertificate.value,
    ekPublic: ekPublic.value,
    akPublic: akPublic.value,
  });
}

/** A challenge as it travels. */
export function encodeTpmChallenge(challenge: TpmChallenge): Buffer {
  return json({
    v: VERSION,
    session: challenge.session,
    nonce: encodeBase64(challenge.nonce),
    credential: encodeBase64(challenge.credential),
    secret: encodeBase64(challenge.encryptedSeed),
    pcrs: challenge.pcrs,
    event_log: challenge.eventLog,
  });
}

/** Reads a challenge; fails with ATTESTATION_PAYLOAD. */
export function decodeTpmChallenge(bytes: Uint8Array): Result<TpmChallenge> {
  const object = readAttestationJson(bytes, MAX_TPM_MESSAGE_BYTES);
  if (!object.ok) return object;
  if (object.value.get('v') !== VERSION) return malformed('version is not 1');
  const session = object.value.get('session');
  if (typeof session !== 'string' || !/^[0-9a-f]{32}$/.test(session)) {
    return malformed('session is not 32 hex digits');
  }
  const size = { min: BINDING_NONCE_BYTES, max: BINDING_NONCE_BYTES };
  const nonce = bytesAt(object.value, 'nonce', size);
  if (!nonce.ok) return nonce;
  const credential = bytesAt(object.value, 'credential', { min: 1, max: 512 });
  if (!credential.ok) return credential;
  const encryptedSeed = bytesAt(object.value, 'secret', { min: 1, max: 512 });
  if (!encryptedSeed.ok) return encryptedSeed;
  const pcrs = readPcrs(object.value.get('pcrs'));
  if (!pcrs.ok) return pcrs;
  return ok({
    session,
    nonce: nonce.value,
    credential: credential.value,
    encryptedSeed: encryptedSeed.value,
    pcrs: pcrs.value,
    eventLog: object.value.get('event_log') === true,
  });
}

/** A response as it travels. */
export function encodeTpmResponse(response: TpmResponse): Buffer {
  const { secret, attest, signature, values, eventLog } = response;
  return json({
    secret: encodeBase64(secret),
    quote: encodeBase64(attest),
    signature: encodeBase64(signature),
    values: values.map(encodeBase64),
    ...(eventLog && { event_log: encodeBase64(eventLog) }),
  });
}

/** Reads a response; fails with ATTESTATION_PAYLOAD. */
export function decodeTpmResponse(bytes: Uint8Array): Result<TpmResponse> {
  const object = readAttestationJson(bytes, MAX_TPM_LOG_RESPONSE_BYTES);
  if (!object.ok) return object;
  const secret = bytesAt(object.value, 'secret', { min: 1, max: 64 });
  if (!secret.ok) return secret;
  const attest = bytesAt(object.value, 'quote', { min: 1, max: MAX_FIELD_BYTES });
  if (!attest.ok) return attest;
  const signature = bytesAt(object.value, 'signature', { min: 1, max: MAX_FIELD_BYTES });
  if (!signature.ok) return signature;
  const values = listAt(object.value, 'values', { count: MAX_PCRS, max: 64 });
  if (!values.ok) return values;
  const hasLog = object.value.has('event_log');
  const limits = { min: 1, max: MAX_EVENT_LOG_BYTES };
  const eventLog = hasLog ? bytesAt(object.value, 'event_log', limits) : ok(undefined);
  if (!eventLog.ok) return eventLog;
  return ok({
    secret: secret.value,
    attest: attest.value,
    signature: signature.value,
    values: values.value,
    eventLog: eventLog.value,
  });
}

function readPcrs(value: JsonValue | undefined): Result<readonly number[]> {
  // Narrowing by Array.isArray does not reach readonly arrays.
  const items = Array.isArray(value) ? (value as readonly JsonValue[]) : [];
  const pcrs: number[] = [];
  for (const item of items) {
    const last = pcrs.at(-1) ?? -1;
    if (typeof item !== 'number' || !Number.isInteger(item) || item <= last || item >= MAX_PCRS) {
      return malformed('pcrs are not registers in ascending order');
    }
    pcrs.push(item);
  }
  return pcrs.length > 0 ? ok(pcrs) : malformed('pcrs are missing');
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
