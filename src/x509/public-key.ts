import { createPublicKey, type KeyObject } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { type DerCursor, readDer } from '../der/reader.ts';
import { attempt, refuse } from '../der/refuse.ts';
import { TAG } from '../der/tags.ts';
import { OID } from './oids.ts';
import type { PublicKey, PublicKeyType } from './types.ts';

/** Largest RSA modulus that is imported; more only costs time. */
const MAX_RSA_BITS = 8192;

/** Longest RSA exponent that is imported, in octets: a larger one only costs time. */
const MAX_RSA_EXPONENT_BYTES = 4;

interface Curve {
  readonly type: PublicKeyType;
  readonly bits: number;
  /** Octets of one coordinate. */
  readonly fieldBytes: number;
}

const CURVES: ReadonlyMap<string, Curve> = new Map([
  [OID.p256, { type: 'ec-p256', bits: 256, fieldBytes: 32 }],
  [OID.p384, { type: 'ec-p384', bits: 384, fieldBytes: 48 }],
  [OID.p521, { type: 'ec-p521', bits: 521, fieldBytes: 66 }],
]);

/** Numbers of an RSA public key, big-endian without leading zeros. */
export interface RsaNumbers {
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

/** What the algorithm part of a SubjectPublicKeyInfo says. */
interface KeyAlgorithm {
  readonly type: PublicKeyType;
  readonly curve?: Curve;
}

/** Curve of an EC key: named curves only (RFC 5480 §2.1.1). */
function readCurve(algorithm: DerCursor, what: string): KeyAlgorithm {
  if (algorithm.nextTag !== TAG.oid) {
    refuse('PUBLIC_KEY_PARAMETERS', `${what}: the curve is not given by its name`);
  }
  const curve = CURVES.get(algorithm.oid(`${what} curve`));
  return curve === undefined ? { type: 'unknown' } : { type: curve.type, curve };
}

function readAlgorithm(algorithm: DerCursor, what: string): KeyAlgorithm {
  const oid = algorithm.oid(`${what} algorithm`);
  if (oid === OID.ecPublicKey) return readCurve(algorithm, what);
  if (oid === OID.rsaEncryption) {
    algorithm.null(`${what} RSA parameters`);
    return { type: 'rsa' };
  }
  if (oid === OID.ed25519) return { type: 'ed25519' };
  if (!algorithm.done) algorithm.element(`${what} parameters`);
  return { type: 'unknown' };
}

/** Only uncompressed points (RFC 5480 §2.2); whether one is on its curve shows at the import. */
function checkPoint(point: Uint8Array, curve: Curve, what: string): void {
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.fieldBytes) {
    refuse('PUBLIC_KEY_POINT', `${what}: not an uncompressed point of ${curve.type}`);
  }
}

function readRsaNumbers(cursor: DerCursor, what: string): RsaNumbers {
  const fields = cursor.sequence(what);
  const numbers = {
    modulus: fields.positiveInteger(`${what} modulus`),
    exponent: fields.positiveInteger(`${what} exponent`),
  };
  fields.finish(what);
  return numbers;
}

/** Bits of a big-endian number without leading zeros. */
function bitLength(magnitude: Uint8Array): number {
  return magnitude.length * 8 - Math.clz32(magnitude[0] ?? 0) + 24;
}

function keyBits(algorithm: KeyAlgorithm, bits: Uint8Array, what: string): number {
  if (algorithm.curve !== undefined) {
    checkPoint(bits, algorithm.curve, what);
    return algorithm.curve.bits;
  }
  if (algorithm.type === 'rsa') {
    const { modulus } = readKeyBits(bits, what);
    return bitLength(modulus);
  }
  if (algorithm.type !== 'ed25519') return 0;
  if (bits.length !== 32) refuse('PUBLIC_KEY_POINT', `${what}: Ed25519 key is not 32 bytes`);
  return 256;
}

function readKeyBits(subjectPublicKey: Uint8Array, what: string): RsaNumbers {
  const numbers = readDer(what, subjectPublicKey, (cursor) => readRsaNumbers(cursor, what));
  if (!numbers.ok) throw numbers.error;
  return numbers.value;
}

/** Takes a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) from a cursor; for parsers that hold one. */
export function readPublicKey(cursor: DerCursor, what: string): PublicKey {
  const start = cursor.position;
  const fields = cursor.sequence(what);
  const algorithmFields = fields.sequence(`${what} algorithm`);
  const algorithm = readAlgorithm(algorithmFields, what);
  algorithmFields.finish(`${what} algorithm`);
  const subjectPublicKey = fields.octetsInBitString(what);
  fields.finish(what);
  const bits = keyBits(algorithm, subjectPublicKey, what);
  return { type: algorithm.type, bits, spki: cursor.since(start), subjectPublicKey };
}

/**
 * Reads a SubjectPublicKeyInfo; the bytes are copied first. A well-formed key of an algorithm or curve
 * not known here has type `unknown`. Errors: DER_*, PUBLIC_KEY_PARAMETERS, PUBLIC_KEY_POINT.
 */
export function parsePublicKey(spki: Uint8Array): Result<PublicKey> {
  return readDer('public key', new Uint8Array(spki), (cursor) =>
    readPublicKey(cursor, 'public key'),
  );
}

/** Modulus and exponent of an RSA key; KEY_ALGORITHM for any other. */
export function rsaNumbers(publicKey: PublicKey): Result<RsaNumbers> {
  if (publicKey.type !== 'rsa') return fail('KEY_ALGORITHM', 'public key: not an RSA key');
  return attempt('public key', () => readKeyBits(publicKey.subjectPublicKey, 'public key'));
}

/**
 * Refuses RSA numbers that no honest key has or that make verifying slow: exponents even, below 3 or
 * above 32 bits, huge moduli.
 */
function checkRsaSane(publicKey: PublicKey): Result<void> {
  const numbers = rsaNumbers(publicKey);
  if (!numbers.ok) return numbers;
  const { exponent } = numbers.value;
  const isOdd = ((exponent.at(-1) ?? 0) & 1) === 1;
  const isOne = exponent.length === 1 && exponent[0] === 1;
  if (!isOdd || isOne || exponent.length > MAX_RSA_EXPONENT_BYTES) {
    return fail('KEY_RSA_EXPONENT', 'public key: the RSA exponent is even, 1 or above 32 bits');
  }
  if (publicKey.bits > MAX_RSA_BITS) {
    return fail('KEY_RSA_SIZE', `public key: RSA modulus of ${publicKey.bits} bits`);
  }
  return ok(undefined);
}

/**
 * The key as Node's crypto takes it, imported once for each PublicKey. Errors: KEY_ALGORITHM for type
 * `unknown`, KEY_RSA_EXPONENT, KEY_RSA_SIZE, PUBLIC_KEY_INVALID for a point off its curve.
 */
export function toKeyObject(publicKey: PublicKey): Result<KeyObject> {
  if (publicKey.keyObject !== undefined) return ok(publicKey.keyObject);
  if (publicKey.type === 'unknown') {
    return fail('KEY_ALGORITHM', 'public key: algorithm or curve that is not known here');
  }
  if (publicKey.type === 'rsa') {
    const sane = checkRsaSane(publicKey);
    if (!sane.ok) return sane;
  }
  const { spki } = publicKey;
  const key = Buffer.from(spki.buffer, spki.byteOffset, spki.length);
  try {
    publicKey.keyObject = createPublicKey({ key, format: 'der', type: 'spki' });
  } catch (cause) {
    return fail('PUBLIC_KEY_INVALID', `public key: not a valid ${publicKey.type} key`, { cause });
  }
  return ok(publicKey.keyObject);
}
