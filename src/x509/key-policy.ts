import { fail, ok, type Result } from '../base/result.ts';
import { rsaNumbers, toKeyObject } from './public-key.ts';
import type { PublicKey } from './types.ts';
import { type RsaWeakness, rsaWeakness } from './weak-rsa.ts';

/** RSA lengths that workload keys may have, in bits. */
const RSA_BITS: readonly number[] = [2048, 3072, 4096];

/** Smallest RSA exponent of a workload key; the largest has 32 bits. */
const MIN_RSA_EXPONENT = 65_537;

const WEAKNESS_TEXT: Readonly<Record<RsaWeakness, string>> = {
  KEY_RSA_WEAK: 'the modulus has a small factor',
  KEY_RSA_ROCA: 'the modulus comes from the flawed generator of CVE-2017-15361 (ROCA)',
  KEY_RSA_CLOSE_FACTORS: 'the two factors of the modulus are too close',
};

function checkRsa(publicKey: PublicKey): Result<void> {
  if (!RSA_BITS.includes(publicKey.bits)) {
    return fail('KEY_RSA_SIZE', `key policy: RSA modulus of ${publicKey.bits} bits`);
  }
  const numbers = rsaNumbers(publicKey);
  if (!numbers.ok) return numbers;
  const { modulus, exponent } = numbers.value;
  const value = exponent.reduce((number, octet) => number * 256 + octet, 0);
  // Above 32 bits `toKeyObject` refuses it.
  if (value < MIN_RSA_EXPONENT || value % 2 === 0) {
    return fail('KEY_RSA_EXPONENT', 'key policy: RSA exponent is not odd from 65537 to 2^32');
  }
  const weakness = rsaWeakness(modulus);
  return weakness === undefined
    ? ok(undefined)
    : fail(weakness, `key policy: ${WEAKNESS_TEXT[weakness]}`);
}

/**
 * Checks a workload's or agent's key: ECDSA P-256 or P-384 with a point on the curve, or RSA 2048,
 * 3072, 4096 with a usual exponent and no known weakness. P-521 and Ed25519 are refused: peers of the
 * SPIFFE world do not all take them, and SPIRE hands out neither. Answers the key with its KeyObject in
 * place. Errors: KEY_ALGORITHM, KEY_RSA_SIZE, KEY_RSA_EXPONENT, KEY_RSA_WEAK,
 * KEY_RSA_ROCA, KEY_RSA_CLOSE_FACTORS, PUBLIC_KEY_INVALID.
 */
export function checkKeyPolicy(publicKey: PublicKey): Result<PublicKey> {
  switch (publicKey.type) {
    case 'ec-p256':
    case 'ec-p384':
      break;
    case 'rsa': {
      const checked = checkRsa(publicKey);
      if (!checked.ok) return checked;
      break;
    }
    default:
      return fail('KEY_ALGORITHM', `key policy: ${publicKey.type} keys are not allowed`);
  }
  const imported = toKeyObject(publicKey);
  return imported.ok ? ok(publicKey) : imported;
}
