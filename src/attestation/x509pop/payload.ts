import { ok, type Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import type { JsonObject } from '../../spiffe/json.ts';
import { bytesAt, listAt, malformed, objectAt, readAttestationJson } from '../json-payload.ts';

/** Name of the attestor: `AttestationData.type`, type of its selectors, and the segment of agent IDs. */
export const X509POP_TYPE = 'x509pop';

/** Size of each side's nonce in bytes (spire-compatibility A.4). */
export const X509POP_NONCE_BYTES = 32;

/** Most certificates that are shown: the leaf and four intermediates. */
export const MAX_X509POP_CERTIFICATES = 5;

/** Largest payload and largest message in bytes. */
export const MAX_X509POP_BYTES = 128 * 1024;

/** Largest certificate in bytes. */
const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** Largest RSA key in bits. */
export const MAX_X509POP_RSA_BITS = 8192;

/** Kinds of key that can prove themselves. */
export type X509PopKeyKind = 'rsa' | 'ecdsa';

/** What a server asks: its nonce, for a kind of key. */
export interface X509PopChallenge {
  readonly kind: X509PopKeyKind;
  readonly nonce: Uint8Array;
}

/** What an agent answers: its own nonce, and a signature over both. */
export type X509PopResponse =
  | { readonly kind: 'rsa'; readonly nonce: Uint8Array; readonly signature: Uint8Array }
  | {
      readonly kind: 'ecdsa';
      readonly nonce: Uint8Array;
      /** Big-endian numbers, without leading zeros. */
      readonly r: Uint8Array;
      readonly s: Uint8Array;
    };

/** The payload: certificates in DER, the leaf first. */
export function encodeX509PopPayload(certificates: readonly Uint8Array[]): Buffer {
  return json({ certificates: certificates.map(encodeBase64) });
}

/** The certificates of a payload; fails with ATTESTATION_PAYLOAD. */
export function decodeX509PopPayload(bytes: Uint8Array): Result<readonly Uint8Array[]> {
  const object = readAttestationJson(bytes, MAX_X509POP_BYTES);
  if (!object.ok) return object;
  return listAt(object.value, 'certificates', {
    count: MAX_X509POP_CERTIFICATES,
    max: MAX_CERTIFICATE_BYTES,
  });
}

/** A challenge as it travels. */
export function encodeX509PopChallenge({ kind, nonce }: X509PopChallenge): Buffer {
  const asked = { nonce: encodeBase64(nonce) };
  return json({
    rsa_signature: kind === 'rsa' ? asked : null,
    ecdsa_signature: kind === 'ecdsa' ? asked : null,
  });
}

/** Reads a challenge; fails with ATTESTATION_PAYLOAD. */
export function decodeX509PopChallenge(bytes: Uint8Array): Result<X509PopChallenge> {
  const one = readOne(bytes);
  if (!one.ok) return one;
  const nonce = readNonce(one.value.object);
  return nonce.ok ? ok({ kind: one.value.kind, nonce: nonce.value }) : nonce;
}

/** A response as it travels. */
export function encodeX509PopResponse(response: X509PopResponse): Buffer {
  const nonce = encodeBase64(response.nonce);
  if (response.kind === 'rsa') {
    const signature = encodeBase64(response.signature);
    return json({ rsa_signature: { nonce, signature }, ecdsa_signature: null });
  }
  const [r, s] = [encodeBase64(response.r), encodeBase64(response.s)];
  return json({ rsa_signature: null, ecdsa_signature: { nonce, r, s } });
}

/** Reads a response; fails with ATTESTATION_PAYLOAD. */
export function decodeX509PopResponse(bytes: Uint8Array): Result<X509PopResponse> {
  const one = readOne(bytes);
  if (!one.ok) return one;
  const { kind, object } = one.value;
  const nonce = readNonce(object);
  if (!nonce.ok) return nonce;
  if (kind === 'rsa') {
    const signature = bytesAt(object, 'signature', { min: 1, max: MAX_X509POP_RSA_BITS / 8 });
    return signature.ok ? ok({ kind, nonce: nonce.value, signature: signature.value }) : signature;
  }
  // 66 bytes hold a number of P-521.
  const r = bytesAt(object, 'r', { min: 1, max: 66 });
  if (!r.ok) return r;
  const s = bytesAt(object, 's', { min: 1, max: 66 });
  return s.ok ? ok({ kind, nonce: nonce.value, r: r.value, s: s.value }) : s;
}

function readOne(
  bytes: Uint8Array,
): Result<{ readonly kind: X509PopKeyKind; readonly object: JsonObject }> {
  const document = readAttestationJson(bytes, MAX_X509POP_BYTES);
  if (!document.ok) return document;
  const rsa = objectAt(document.value, 'rsa_signature');
  if (!rsa.ok) return rsa;
  const ecdsa = objectAt(document.value, 'ecdsa_signature');
  if (!ecdsa.ok) return ecdsa;
  if (rsa.value !== undefined && ecdsa.value === undefined) {
    return ok({ kind: 'rsa', object: rsa.value });
  }
  if (ecdsa.value !== undefined && rsa.value === undefined) {
    return ok({ kind: 'ecdsa', object: ecdsa.value });
  }
  return malformed('exactly one of rsa_signature and ecdsa_signature must be there');
}

function readNonce(object: JsonObject): Result<Buffer> {
  return bytesAt(object, 'nonce', { min: X509POP_NONCE_BYTES, max: X509POP_NONCE_BYTES });
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
