import { fail, type Result } from '../base/result.ts';
import type { PublicKey } from './types.ts';

/** How a message is hashed, padded and encoded when it is signed. */
export interface SignatureScheme {
  readonly kind: 'ecdsa' | 'rsa' | 'rsa-pss' | 'ed25519';
  /** Not used by Ed25519. */
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  /** Form of an ECDSA signature: `der` in certificates, `p1363` in JWS; `der` unless told. */
  readonly encoding?: 'der' | 'p1363';
}

/** The scheme that an AlgorithmIdentifier names; MD5 and SHA-1 are refused by name. */
export function parseSignatureAlgorithm(_algorithmDer: Uint8Array): Result<SignatureScheme> {
  return fail('INTERNAL', 'not built yet');
}

/** The AlgorithmIdentifier of a scheme. */
export function signatureAlgorithmDer(_scheme: SignatureScheme): Uint8Array {
  return new Uint8Array();
}

/** Checks a signature made under an X.509 AlgorithmIdentifier. */
export function verifySignature(
  _publicKey: PublicKey,
  _algorithmDer: Uint8Array,
  _message: Uint8Array,
  _signature: Uint8Array,
): Result<void> {
  return fail('INTERNAL', 'not built yet');
}

/** Checks a signature under a scheme, which must fit the key (also for JWS). */
export function verifyWithScheme(
  _publicKey: PublicKey,
  _scheme: SignatureScheme,
  _message: Uint8Array,
  _signature: Uint8Array,
): Result<void> {
  return fail('INTERNAL', 'not built yet');
}
