import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Random } from '../base/random.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** Bytes of a key for boxes. */
export const BOX_KEY_BYTES = 32;

/** What a box is longer by than what is in it: nonce before, tag after. */
export const BOX_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES;

/** A key, and what is authenticated with what it encrypts. */
export interface BoxKey {
  /** Used for one box only, so that no nonce can come twice under it. */
  readonly key: Uint8Array;
  readonly associatedData: Uint8Array;
}

/** Encrypts with AES-256-GCM: nonce, ciphertext, tag. */
export function sealBox({ key, associatedData }: BoxKey, clear: Uint8Array, random: Random) {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData);
  const ciphertext = Buffer.concat([cipher.update(clear), cipher.final()]);
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]);
}

/** What is in a box. Throws where it is not what was sealed with this key and this data. */
export function openBox({ key, associatedData }: BoxKey, box: Uint8Array): Buffer {
  const nonce = box.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(box.subarray(Math.max(NONCE_BYTES, box.length - TAG_BYTES)));
  const ciphertext = box.subarray(NONCE_BYTES, -TAG_BYTES);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}
