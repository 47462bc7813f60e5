import { hash } from 'node:crypto';
import type { PublicKey } from './types.ts';

/**
 * Key identifier: SHA-1 of the subjectPublicKey bits (RFC 5280 §4.2.1.2, method 1), 20 bytes. It only
 * helps to find a key and protects nothing, so SHA-1 is no weakness here; SPIRE makes the same.
 */
export function subjectKeyId(publicKey: Pick<PublicKey, 'subjectPublicKey'>): Uint8Array {
  return hash('sha1', publicKey.subjectPublicKey, 'buffer');
}
