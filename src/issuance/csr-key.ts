import { constants, verify } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { type BlockedKeys, checkNotBlocked } from '../x509/blocked-keys.ts';
import { verifyCsrSignature } from '../x509/csr.ts';
import { checkKeyPolicy } from '../x509/key-policy.ts';
import { parsePublicKey, toKeyObject } from '../x509/public-key.ts';
import { parseSignatureAlgorithm } from '../x509/signature.ts';
import type { CertificateRequest, PublicKey } from '../x509/types.ts';

/**
 * The key of a request, once the key policy allows it (G-3, G-4), it is not blocked, and the request's
 * signature proved that the sender holds it (G-1). Errors: KEY_BLOCKED, those of `checkKeyPolicy` and
 * `verifyCsrSignature`.
 */
export function provenKey(csr: CertificateRequest, blocked: BlockedKeys): Result<PublicKey> {
  const free = checkNotBlocked(csr.publicKey, blocked);
  if (!free.ok) return free;
  if (csr.publicKey.type === 'ec-p256' || csr.publicKey.type === 'ec-p384') {
    const verified = verifyOnce(csr);
    if (verified !== undefined) return verified;
  }
  // Policy first: a key that is refused must not cost a verification.
  const allowed = checkKeyPolicy(csr.publicKey);
  return allowed.ok ? verifyCsrSignature(csr) : allowed;
}

/** A key with a signature by it over something that the other side could not choose, in place of a CSR. */
export interface KeyProof {
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  readonly message: Uint8Array;
  /** Over the SHA-256 of `message`: ECDSA in DER, or RSASSA-PSS. */
  readonly signature: Uint8Array;
}

/** As {@link provenKey}, by a proof that is no CSR. */
export function provenByProof(proof: KeyProof, blocked: BlockedKeys): Result<PublicKey> {
  const parsed = parsePublicKey(proof.spki);
  if (!parsed.ok) return parsed;
  const free = checkNotBlocked(parsed.value, blocked);
  const allowed = free.ok ? checkKeyPolicy(parsed.value) : free;
  if (!allowed.ok) return allowed;
  const imported = toKeyObject(allowed.value);
  if (!imported.ok) return imported;
  const padding = allowed.value.type === 'rsa' ? { padding: constants.RSA_PKCS1_PSS_PADDING } : {};
  const valid = verify(
    'sha256',
    proof.message,
    { key: imported.value, ...padding },
    proof.signature,
  );
  return valid ? allowed : fail('SIGNATURE_INVALID', 'proof of possession: does not verify');
}

/**
 * The common case in one call: the policy has nothing against a key of these curves but that its
 * point may be off the curve, which OpenSSL looks for when it imports the key for the verification.
 * No KeyObject outlives it; making one and collecting it later costs a tenth of the verification.
 * Undefined where the longer way has to say what is wrong.
 */
function verifyOnce(csr: CertificateRequest): Result<PublicKey> | undefined {
  const { publicKey, info, signature } = csr;
  const scheme = parseSignatureAlgorithm(csr.signatureAlgorithm);
  if (!scheme.ok || scheme.value.kind !== 'ecdsa') return undefined;
  const spki = Buffer.from(publicKey.spki.buffer, publicKey.spki.byteOffset, publicKey.spki.length);
  try {
    const key = { key: spki, format: 'der', type: 'spki' } as const;
    if (verify(scheme.value.hash, info, key, signature)) return ok(publicKey);
  } catch {
    return undefined;
  }
  return fail('SIGNATURE_INVALID', 'signature: does not verify');
}
