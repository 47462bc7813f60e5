import { ok, type Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import { bytesAt, listAt, malformed, objectAt, readAttestationJson } from '../json-payload.ts';

/** Name of the attestor: `AttestationData.type`, type of its selectors, and the segment of agent IDs. */
export const TPM_DEVID_TYPE = 'tpm_devid';

/** Size of the nonce that the DevID key signs, in bytes. */
export const DEVID_NONCE_BYTES = 32;

/** Largest message in bytes. */
export const MAX_DEVID_MESSAGE_BYTES = 128 * 1024;

/** Most certificates of a DevID: its own and four above it. */
export const MAX_DEVID_CERTIFICATES = 5;

/** Largest structure in bytes. */
const MAX_FIELD_BYTES = 4096;

/** Largest certificate in bytes. */
const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** What an agent shows first (spire-compatibility A.4). */
export interface DevIdPayload {
  /** DER, the leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** TPMT_PUBLIC of each key. */
  readonly devIdPublic: Uint8Array;
  readonly ekPublic: Uint8Array;
  readonly akPublic: Uint8Array;
  /** DER. */
  readonly ekCertificate: Uint8Array;
  /** TPMS_ATTEST by which the AK certifies the DevID key. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE of that. */
  readonly signature: Uint8Array;
}

/** What the server asks. */
export interface DevIdChallenge {
  readonly nonce: Uint8Array;
  /** TPMS_ID_OBJECT. */
  readonly credential: Uint8Array;
  readonly encryptedSeed: Uint8Array;
}

/** What the agent answers. */
export interface DevIdResponse {
  /** PKCS #1 v1.5, or ECDSA in DER, over the nonce with SHA-256. */
  readonly signature: Uint8Array;
  /** What the credential held. */
  readonly secret: Uint8Array;
}

/** A payload as it travels. */
export function encodeDevIdPayload(payload: DevIdPayload): Buffer {
  return json({
    DevIDCert: payload.certificates.map(encodeBase64),
    DevIDPub: encodeBase64(payload.devIdPublic),
    EKCert: encodeBase64(payload.ekCertificate),
    EKPub: encodeBase64(payload.ekPublic),
    AKPub: encodeBase64(payload.akPublic),
    CertifiedDevID: encodeBase64(payload.attest),
    CertificationSignature: encodeBase64(payload.signature),
  });
}

/** Reads a payload; fails with ATTESTATION_PAYLOAD. */
export function decodeDevIdPayload(bytes: Uint8Array): Result<DevIdPayload> {
  const object = readAttestationJson(bytes, MAX_DEVID_MESSAGE_BYTES);
  if (!object.ok) return object;
  const limits = { count: MAX_DEVID_CERTIFICATES, max: MAX_CERTIFICATE_BYTES };
  const certificates = listAt(object.value, 'DevIDCert', limits);
  if (!certificates.ok) return certificates;
  const names = ['DevIDPub', 'EKPub', 'AKPub', 'CertifiedDevID', 'CertificationSignature'] as const;
  const fields: Buffer[] = [];
  for (const name of names) {
    const field = bytesAt(object.value, name, { min: 1, max: MAX_FIELD_BYTES });
    if (!field.ok) return field;
    fields.push(field.value);
  }
  const [devIdPublic, ekPublic, akPublic, attest, signature] = fields;
  const ekCertificate = bytesAt(object.value, 'EKCert', { min: 1, max: MAX_CERTIFICATE_BYTES });
  if (!ekCertificate.ok) return ekCertificate;
  if (!devIdPublic || !ekPublic || !akPublic || !attest || !signature)
    return malformed('incomplete');
  return ok({
    certificates: certificates.value,
    ...{ devIdPublic, ekPublic, akPublic, attest, signature },
    ekCertificate: ekCertificate.value,
  });
}

/** A challenge as it travels. */
export function encodeDevIdChallenge({ nonce, credential, encryptedSeed }: DevIdChallenge): Buffer {
  return json({
    DevID: encodeBase64(nonce),
    CredActivation: { Credential: encodeBase64(credential), Secret: encodeBase64(encryptedSeed) },
  });
}

/** Reads a challenge; fails with ATTESTATION_PAYLOAD. */
export function decodeDevIdChallenge(bytes: Uint8Array): Result<DevIdChallenge> {
  const object = readAttestationJson(bytes, MAX_DEVID_MESSAGE_BYTES);
  if (!object.ok) return object;
  const nonce = bytesAt(object.value, 'DevID', { min: 16, max: 64 });
  if (!nonce.ok) return nonce;
  const activation = objectAt(object.value, 'CredActivation');
  if (!activation.ok) return activation;
  if (activation.value === undefined) return malformed('CredActivation is missing');
  const credential = bytesAt(activation.value, 'Credential', { min: 1, max: 512 });
  if (!credential.ok) return credential;
  const encryptedSeed = bytesAt(activation.value, 'Secret', { min: 1, max: 512 });
  if (!encryptedSeed.ok) return encryptedSeed;
  return ok({
    nonce: nonce.value,
    credential: credential.value,
    encryptedSeed: encryptedSeed.value,
  });
}

/** A response as it travels. */
export function encodeDevIdResponse({ signature, secret }: DevIdResponse): Buffer {
  return json({ DevID: encodeBase64(signature), CredActivation: encodeBase64(secret) });
}

/** Reads a response; fails with ATTESTATION_PAYLOAD. */
export function decodeDevIdResponse(bytes: Uint8Array): Result<DevIdResponse> {
  const object = readAttestationJson(bytes, MAX_DEVID_MESSAGE_BYTES);
  if (!object.ok) return object;
  const signature = bytesAt(object.value, 'DevID', { min: 1, max: 1024 });
  if (!signature.ok) return signature;
  const secret = bytesAt(object.value, 'CredActivation', { min: 1, max: 64 });
  return secret.ok ? ok({ signature: signature.value, secret: secret.value }) : secret;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
