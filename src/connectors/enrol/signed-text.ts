import { createHash } from 'node:crypto';
import { concatBytes, utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { schemeForKeyType, verifyWithScheme } from '../../x509/signature.ts';
import type { PublicKey } from '../../x509/types.ts';

const DOMAIN = utf8('signet.connector.v1.Enrol\0');

/** What the key of an enrolment signs (docs/connector-protocol.md): so nothing else that it signs is that. */
export function enrolText(challenge: Uint8Array, csr: Uint8Array): Uint8Array {
  const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
  return concatBytes([DOMAIN, sha256(challenge), sha256(csr)]);
}

/**
 * Checks a signature over {@link enrolText}: ECDSA in DER with SHA-256 (P-256) or SHA-384 (P-384), RSA
 * PKCS #1 v1.5 with SHA-256. Fails with CONNECTOR_SIGNATURE.
 *
 * @param whose What the signature is called in the message.
 */
export function verifyEnrolText(
  publicKey: PublicKey,
  text: Uint8Array,
  signature: Uint8Array,
  whose: string,
): Result<void> {
  const { type } = publicKey;
  if (type === 'unknown') return fail('CONNECTOR_SIGNATURE', `${whose}: of a key of no known type`);
  const verified = verifyWithScheme(publicKey, schemeForKeyType(type), text, signature);
  if (verified.ok) return ok(undefined);
  const cause = verified.error;
  return fail('CONNECTOR_SIGNATURE', `${whose}: ${cause.message}`, { cause });
}
