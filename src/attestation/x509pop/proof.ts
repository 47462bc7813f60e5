import { constants, verify } from 'node:crypto';
import { concatBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { toKeyObject } from '../../x509/public-key.ts';
import type { PublicKey } from '../../x509/types.ts';
import { MAX_X509POP_RSA_BITS, type X509PopKeyKind, type X509PopResponse } from './payload.ts';

/** Bytes of a number of a curve. */
const FIELD_BYTES: ReadonlyMap<string, number> = new Map([
  ['ec-p256', 32],
  ['ec-p384', 48],
  ['ec-p521', 66],
]);

/** How a key proves itself; fails with X509POP_KEY where it cannot, or is too long to be checked. */
export function proofKindOf({ type, bits }: PublicKey): Result<X509PopKeyKind> {
  if (type === 'rsa' && bits <= MAX_X509POP_RSA_BITS) return ok('rsa');
  if (FIELD_BYTES.has(type)) return ok('ecdsa');
  return fail('X509POP_KEY', `certificate: key of type ${type} with ${bits} bits`);
}

/**
 * Checks the proof of a leaf's key (spire-compatibility A.4): its signature over SHA-256 of both nonces,
 * RSA-PSS with a salt of any length, or ECDSA. Fails with X509POP_PROOF.
 */
export function verifyProof(
  publicKey: PublicKey,
  challenge: Uint8Array,
  response: X509PopResponse,
): Result<void> {
  const kind = proofKindOf(publicKey);
  if (!kind.ok) return kind;
  if (response.kind !== kind.value)
    return fail('X509POP_PROOF', 'the proof is of another kind of key');
  const key = toKeyObject(publicKey);
  if (!key.ok) return key;
  // The key signs the digest of the nonces: hashing both and signing is one step here.
  const message = concatBytes([challenge, response.nonce]);
  const valid =
    response.kind === 'rsa'
      ? verify(
          'sha256',
          message,
          {
            key: key.value,
            padding: constants.RSA_PKCS1_PSS_PADDING,
            saltLength: constants.RSA_PSS_SALTLEN_AUTO,
          },
          response.signature,
        )
      : verify(
          'sha256',
          message,
          { key: key.value, dsaEncoding: 'ieee-p1363' },
          fixedNumbers(publicKey, response.r, response.s),
        );
  if (valid) return ok(undefined);
  return fail('X509POP_PROOF', 'the signature over the challenge does not verify');
}

/** Both numbers in the length of the curve; a number that is longer becomes one that does not verify. */
function fixedNumbers({ type }: PublicKey, r: Uint8Array, s: Uint8Array): Uint8Array {
  const size = FIELD_BYTES.get(type) ?? 0;
  return concatBytes([r, s].map((number) => fixed(number, size)));
}

function fixed(number: Uint8Array, size: number): Uint8Array {
  if (number.length > size) return new Uint8Array(size);
  return concatBytes([new Uint8Array(size - number.length), number]);
}
