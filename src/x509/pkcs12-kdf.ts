import { createHash } from 'node:crypto';

/** Block of SHA-256 in bytes: `v` of RFC 7292 appendix B.2. */
const BLOCK_BYTES = 64;

/** What the derived bytes are for: a MAC (RFC 7292 appendix B.3). */
const FOR_MAC = 3;

/** A password as PKCS#12 hashes it: UTF-16, big-endian, with two zero bytes behind (RFC 7292 appendix B.1). */
export function bmpPassword(password: string): Buffer {
  return Buffer.concat([Buffer.from(password, 'utf16le').swap16(), Buffer.alloc(2)]);
}

/**
 * The key of a PKCS#12 file's MAC: 32 bytes by SHA-256 (RFC 7292 appendix B.2). One block is all that a MAC
 * needs, so the steps that would make further ones are not here.
 */
export function pkcs12MacKey(password: string, salt: Uint8Array, iterations: number): Buffer {
  const purpose = Buffer.alloc(BLOCK_BYTES, FOR_MAC);
  let key = createHash('sha256')
    .update(purpose)
    .update(repeated(salt))
    .update(repeated(bmpPassword(password)))
    .digest();
  for (let round = 1; round < iterations; round++) key = createHash('sha256').update(key).digest();
  return key;
}

/** The bytes again and again, up to a whole number of blocks. */
function repeated(bytes: Uint8Array): Buffer {
  const length = BLOCK_BYTES * Math.ceil(bytes.length / BLOCK_BYTES);
  return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, bytes);
}
