import { checkPrimeSync, createPrivateKey, generatePrimeSync, randomBytes } from 'node:crypto';
import { keyFrom, type TestKey } from './x509.ts';

const EXPONENT = 65_537n;

/** Primes up to 701, whose product the flawed generator uses for keys of 2,048 bits. */
const FIRST_PRIMES = Array.from({ length: 700 }, (_, index) => BigInt(index + 2)).filter((n) =>
  Array.from({ length: Number(n) - 2 }, (_, index) => BigInt(index + 2)).every((d) => n % d !== 0n),
);
const PRIMORIAL = FIRST_PRIMES.reduce((product, prime) => product * prime, 1n);

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let [square, left] = [base % modulus, exponent]; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [modulus, value % modulus, 0n, 1n];
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}

const base64Url = (n: bigint): string => {
  const hex = n.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
};

/** A working RSA key of these primes: it signs, whatever its primes are worth. */
function rsaKeyOf(p: bigint, q: bigint): TestKey {
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const numbers = {
    n: p * q,
    e: EXPONENT,
    d,
    p,
    q,
    dp: d % (p - 1n),
    dq: d % (q - 1n),
    qi: inverse(q, p),
  };
  const members = Object.entries(numbers).map(([name, value]) => [name, base64Url(value)]);
  const key = { kty: 'RSA', ...Object.fromEntries(members) };
  return keyFrom(createPrivateKey({ key, format: 'jwk' }));
}

const isUsable = (prime: bigint): boolean =>
  (prime - 1n) % EXPONENT !== 0n && checkPrimeSync(prime, { checks: 4 });

/** A prime of the flawed generator: k times the primorial, and a power of 65537 by it. */
function rocaPrime(): bigint {
  const spread = BigInt(1023 - PRIMORIAL.toString(2).length);
  for (;;) {
    const k = (3n << (spread - 1n)) + BigInt(`0x${randomBytes(4).toString('hex')}`);
    const prime =
      k * PRIMORIAL + power(EXPONENT, BigInt(randomBytes(6).readUIntBE(0, 6)), PRIMORIAL);
    if (isUsable(prime)) return prime;
  }
}

/** An RSA key as smart cards of CVE-2017-15361 made them, 2,048 bits. */
export function makeRocaKey(): TestKey {
  for (;;) {
    const key = rsaKeyOf(rocaPrime(), rocaPrime());
    if (key.publicKey.bits === 2048) return key;
  }
}

/** An RSA key of 2,048 bits whose second prime is the next one after its first. */
export function makeCloseKey(): TestKey {
  const p = generatePrimeSync(1024, { bigint: true });
  let q = p + 2n;
  while (!isUsable(q)) q += 2n;
  return rsaKeyOf(p, q);
}

/** The P-256 key of RFC 9500 §2.3, which is printed there for everyone. */
export const PUBLISHED_KEY: TestKey = keyFrom(
  createPrivateKey({
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: '5stb3YCqRa6clejBVHZnn_7JU8FoUecR50OTlYnGT8E',
      x: 'QiVI-I-3gv-17KN0RFLHKh5Vj71vc75eSOkyMsxFxbE',
      y: 'bEzRDEy41bihcTnpSILImSVymTQl9BQZq36QpCpJQnI',
    },
    format: 'jwk',
  }),
);
