import { fail, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import type { PublicKey } from '../../x509/types.ts';

/** Longest file of one public key, in bytes. */
const MAX_KEY_BYTES = 65_536;

/**
 * Reads the key of a publisher: one PUBLIC KEY block in PEM. Errors: those of `parsePem` and
 * `parsePublicKey`, PEM_LABEL.
 */
export function parseSignerKey(pem: Uint8Array): Result<PublicKey> {
  const blocks = parsePem(pem, { maxBlocks: 1, maxBytes: MAX_KEY_BYTES });
  if (!blocks.ok) return blocks;
  const [block] = blocks.value;
  if (block?.label !== 'PUBLIC KEY') {
    return fail('PEM_LABEL', 'key: no PUBLIC KEY block, as "openssl pkey -pubout" writes it');
  }
  return parsePublicKey(block.der);
}
