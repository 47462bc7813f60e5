import { createHash } from 'node:crypto';
import type { PublicKey } from './types.ts';

/** Key identifier: SHA-1 of the subjectPublicKey bits (RFC 5280 §4.2.1.2, method 1), 20 bytes. */
export function subjectKeyId(publicKey: Pick<PublicKey, 'subjectPublicKey'>): Uint8Array {
  return createHash('sha1').update(publicKey.subjectPublicKey).digest();
}
