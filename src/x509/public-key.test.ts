import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeKey } from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { derBitString, derNull, derOid, derSequence, derUnsigned } from '../der/writer.ts';
import { subjectKeyId } from './key-id.ts';
import { checkKeyPolicy } from './key-policy.ts';
import { OID } from './oids.ts';
import { parsePublicKey, rsaNumbers, toKeyObject } from './public-key.ts';
import { rsaWeakness } from './weak-rsa.ts';

const EC = [derOid(OID.ecPublicKey), derOid(OID.p256)] as const;

function spkiOf(algorithm: readonly Uint8Array[], bits: Uint8Array): Uint8Array {
  return derSequence(derSequence(...algorithm), derBitString(bits));
}

/** Big-endian bytes of a number. */
function magnitude(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

function rsaSpki(modulus: bigint, exponent: bigint): Uint8Array {
  const numbers = derSequence(derUnsigned(magnitude(modulus)), derUnsigned(magnitude(exponent)));
  return spkiOf([derOid(OID.rsaEncryption), derNull()], numbers);
}

const SMALL_PRIMES: readonly bigint[] = [
  3n,
  5n,
  7n,
  11n,
  13n,
  17n,
  19n,
  23n,
  29n,
  31n,
  37n,
  41n,
  43n,
  47n,
  53n,
  59n,
  61n,
  67n,
  71n,
  73n,
  79n,
  83n,
  89n,
  97n,
  101n,
  103n,
  107n,
  109n,
  113n,
  127n,
  131n,
  137n,
  139n,
  149n,
  151n,
  157n,
  163n,
  167n,
];

function hasSmallFactor(value: bigint): boolean {
  for (let factor = 3n; factor < 1000n; factor += 2n) if (value % factor === 0n) return true;
  return value % 2n === 0n;
}

/** The first number from `start` in steps that has no factor below 1,000. */
function withoutSmallFactor(start: bigint, step: bigint): bigint {
  let value = start;
  while (hasSmallFactor(value)) value += step;
  return value;
}

/** A modulus of some length that nothing is known against. */
function plainModulus(bits: number): bigint {
  return withoutSmallFactor((1n << BigInt(bits - 1)) + (1n << BigInt(bits - 3)) + 12_345n, 2n);
}

/** A modulus with the remainders of CVE-2017-15361. */
function rocaModulus(): bigint {
  const product = SMALL_PRIMES.reduce((all, prime) => all * prime, 2n);
  let power = 1n;
  for (let i = 0; i < 77; i++) power = (power * 65_537n) % product;
  return withoutSmallFactor(power + product * (2n ** 2047n / product + 1n), product);
}

/** The product of two numbers of 1,024 bits that are 2^8 apart. */
function closeFactorsModulus(): bigint {
  const p = withoutSmallFactor((1n << 1023n) + (1n << 1022n) + 1n, 2n);
  return p * withoutSmallFactor(p + 256n, 2n);
}

const p256 = makeKey('ec-p256');
const point = p256.publicKey.subjectPublicKey;
const tail = point.subarray(1);
const offCurve = Uint8Array.from(point, (octet, index) => (index === 64 ? octet ^ 1 : octet));
const p192 = derOid('1.2.840.10045.3.1.1');
const explicitCurve = derSequence(derUnsigned(Uint8Array.of(1)));

describe('parsePublicKey', () => {
  for (const [type, expected, bits] of [
    ['ec-p256', 'ec-p256', 256],
    ['ec-p384', 'ec-p384', 384],
    ['ec-p521', 'ec-p521', 521],
    ['rsa-2048', 'rsa', 2048],
    ['ed25519', 'ed25519', 256],
  ] as const) {
    it(`reads a key of ${type}`, () => {
      const { spki } = makeKey(type);
      const publicKey = assertValue(parsePublicKey(spki));
      assert.deepEqual([publicKey.type, publicKey.bits], [expected, bits]);
      const exported = assertValue(toKeyObject(publicKey)).export({ type: 'spki', format: 'der' });
      assert.deepEqual([...exported], [...spki]);
    });
  }

  const UNKNOWN: readonly [name: string, spki: Uint8Array][] = [
    ['P-192', spkiOf([EC[0], p192], new Uint8Array(49).fill(4))],
    ['DSA', spkiOf([derOid('1.2.840.10040.4.1'), derSequence()], new Uint8Array(64))],
    ['an algorithm without parameters', spkiOf([derOid('1.2.3.4')], new Uint8Array(3))],
  ];
  for (const [name, spki] of UNKNOWN) {
    it(`G-4 reads ${name} as unknown, which nothing uses`, () => {
      const publicKey = assertValue(parsePublicKey(spki));
      assert.equal(publicKey.type, 'unknown');
      assertRefused(toKeyObject(publicKey), 'KEY_ALGORITHM');
      assertRefused(checkKeyPolicy(publicKey), 'KEY_ALGORITHM');
    });
  }

  const HOSTILE: readonly [name: string, spki: Uint8Array, code: ErrorCode][] = [
    ['explicit curve parameters', spkiOf([EC[0], explicitCurve], point), 'PUBLIC_KEY_PARAMETERS'],
    ['an implicit curve', spkiOf([EC[0], derNull()], point), 'PUBLIC_KEY_PARAMETERS'],
    ['an EC key without parameters', spkiOf([EC[0]], point), 'PUBLIC_KEY_PARAMETERS'],
    ['infinity', spkiOf(EC, Uint8Array.of(0)), 'PUBLIC_KEY_POINT'],
    [
      'a compressed point',
      spkiOf(EC, Uint8Array.of(2, ...tail.subarray(0, 32))),
      'PUBLIC_KEY_POINT',
    ],
    ['a hybrid point', spkiOf(EC, Uint8Array.of(6, ...tail)), 'PUBLIC_KEY_POINT'],
    ['a point cut short', spkiOf(EC, point.subarray(0, 64)), 'PUBLIC_KEY_POINT'],
    ['a point of another length', spkiOf(EC, Uint8Array.of(...point, 0)), 'PUBLIC_KEY_POINT'],
    ['a point of another curve', spkiOf([EC[0], derOid(OID.p384)], point), 'PUBLIC_KEY_POINT'],
    ['no point', spkiOf(EC, new Uint8Array()), 'PUBLIC_KEY_POINT'],
    ['RSA without NULL', spkiOf([derOid(OID.rsaEncryption)], point), 'DER_TRUNCATED'],
    [
      'an RSA key that is no sequence',
      spkiOf([derOid(OID.rsaEncryption), derNull()], point),
      'DER_TAG',
    ],
    ['an RSA modulus of zero', rsaSpki(0n, 65_537n), 'DER_VALUE'],
    ['an RSA exponent of zero', rsaSpki(plainModulus(2048), 0n), 'DER_VALUE'],
    [
      'Ed25519 with parameters',
      spkiOf([derOid(OID.ed25519), derNull()], new Uint8Array(32)),
      'DER_TRAILING_BYTES',
    ],
    [
      'an Ed25519 key of 31 bytes',
      spkiOf([derOid(OID.ed25519)], new Uint8Array(31)),
      'PUBLIC_KEY_POINT',
    ],
    ['bytes after the key', Uint8Array.of(...p256.spki, 0), 'DER_TRAILING_BYTES'],
  ];
  for (const [name, spki, code] of HOSTILE) {
    it(`G-4 refuses ${name}`, () => assertRefused(parsePublicKey(spki), code));
  }

  it('imports a key once', () => {
    const publicKey = assertValue(parsePublicKey(p256.spki));
    assert.equal(assertValue(toKeyObject(publicKey)), assertValue(toKeyObject(publicKey)));
  });

  it('G-4 refuses a point off its curve at the import', () => {
    const publicKey = assertValue(parsePublicKey(spkiOf(EC, offCurve)));
    assertRefused(toKeyObject(publicKey), 'PUBLIC_KEY_INVALID');
    assertRefused(checkKeyPolicy(publicKey), 'PUBLIC_KEY_INVALID');
  });

  it('gives the numbers of RSA keys only', () => {
    assertRefused(rsaNumbers(p256.publicKey), 'KEY_ALGORITHM');
    const numbers = assertValue(rsaNumbers(makeKey('rsa-2048').publicKey));
    assert.deepEqual([...numbers.exponent], [1, 0, 1]);
    assert.equal(numbers.modulus.length, 256);
  });
});

describe('toKeyObject', () => {
  const modulus = plainModulus(2048);
  const REFUSED: readonly [name: string, spki: Uint8Array, code: ErrorCode][] = [
    ['exponent 1', rsaSpki(modulus, 1n), 'KEY_RSA_EXPONENT'],
    ['an even exponent', rsaSpki(modulus, 65_536n), 'KEY_RSA_EXPONENT'],
    ['an exponent of 33 bits', rsaSpki(modulus, 2n ** 32n + 1n), 'KEY_RSA_EXPONENT'],
    ['a modulus of 8193 bits', rsaSpki(plainModulus(8193), 65_537n), 'KEY_RSA_SIZE'],
    ['a modulus of 16384 bits', rsaSpki(plainModulus(16_384), 65_537n), 'KEY_RSA_SIZE'],
  ];
  for (const [name, spki, code] of REFUSED) {
    it(`G-3 refuses ${name}`, () => {
      assertRefused(toKeyObject(assertValue(parsePublicKey(spki))), code);
    });
  }

  it('takes exponent 3 and 8192 bits, which other authorities have', () => {
    for (const spki of [rsaSpki(modulus, 3n), rsaSpki(plainModulus(8192), 65_537n)]) {
      assertValue(toKeyObject(assertValue(parsePublicKey(spki))));
    }
  });
});

describe('checkKeyPolicy', () => {
  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    it(`allows ${type}`, () => {
      const { publicKey } = makeKey(type);
      assert.equal(assertValue(checkKeyPolicy(publicKey)), publicKey);
    });
  }

  for (const bits of [3072, 4096]) {
    it(`allows RSA with ${bits} bits`, () => {
      const spki = rsaSpki(plainModulus(bits), 65_537n);
      assertValue(checkKeyPolicy(assertValue(parsePublicKey(spki))));
    });
  }

  const modulus = plainModulus(2048);
  const REFUSED: readonly (readonly [name: string, spki: Uint8Array, code: ErrorCode])[] = [
    ['P-521', makeKey('ec-p521').spki, 'KEY_ALGORITHM'],
    ['Ed25519', makeKey('ed25519').spki, 'KEY_ALGORITHM'],
    ...[512, 1024, 2047, 2049, 2052, 2056, 3071, 4095, 4097, 8192, 16_384].map(
      (bits) =>
        [`RSA with ${bits} bits`, rsaSpki(plainModulus(bits), 65_537n), 'KEY_RSA_SIZE'] as const,
    ),
    ...[1n, 2n, 3n, 65_535n, 65_536n, 65_538n, 2n ** 32n + 1n, 2n ** 2000n + 1n].map(
      (exponent) =>
        [
          `RSA exponent ${exponent < 2n ** 33n ? exponent : 'of 2001 bits'}`,
          rsaSpki(modulus, exponent),
          'KEY_RSA_EXPONENT',
        ] as const,
    ),
    ['an even RSA modulus', rsaSpki(modulus + 1n, 65_537n), 'KEY_RSA_WEAK'],
    [
      'an RSA modulus with the factor 997',
      rsaSpki(997n * plainModulus(2038), 65_537n),
      'KEY_RSA_WEAK',
    ],
    ['a ROCA modulus', rsaSpki(rocaModulus(), 65_537n), 'KEY_RSA_ROCA'],
    [
      'an RSA modulus of close factors',
      rsaSpki(closeFactorsModulus(), 65_537n),
      'KEY_RSA_CLOSE_FACTORS',
    ],
  ];
  for (const [name, spki, code] of REFUSED) {
    it(`G-3 refuses ${name}`, () => {
      assertRefused(checkKeyPolicy(assertValue(parsePublicKey(spki))), code);
    });
  }

  it('allows RSA exponent 65537 and 2^32-1', () => {
    for (const exponent of [65_537n, 2n ** 32n - 1n]) {
      assertValue(checkKeyPolicy(assertValue(parsePublicKey(rsaSpki(modulus, exponent)))));
    }
  });

  it('names the weakness that it found', () => {
    assert.equal(rsaWeakness(magnitude(modulus)), undefined);
    assert.equal(rsaWeakness(magnitude(15n * modulus)), 'KEY_RSA_WEAK');
    assert.equal(rsaWeakness(magnitude(rocaModulus())), 'KEY_RSA_ROCA');
    assert.equal(rsaWeakness(magnitude(closeFactorsModulus())), 'KEY_RSA_CLOSE_FACTORS');
  });
});

describe('subjectKeyId', () => {
  it('is SHA-1 of the key bits without the unused-bits octet (RFC 5280 §4.2.1.2)', () => {
    const bits = Buffer.from('abc');
    assert.equal(
      Buffer.from(subjectKeyId({ subjectPublicKey: bits })).toString('hex'),
      'a9993e364706816aba3e25717850c26c9cd0d89d',
    );
  });
});
