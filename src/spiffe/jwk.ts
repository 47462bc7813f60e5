import { createPublicKey } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { checkKeyPolicy } from '../x509/key-policy.ts';
import { parsePublicKey, toKeyObject } from '../x509/public-key.ts';
import type { PublicKey } from '../x509/types.ts';
import { decodeBase64Url } from './base64.ts';
import type { JsonObject } from './json.ts';
import { algorithmFitsKey, isJwsAlgorithm, type JwsAlgorithm } from './jws.ts';

/** The members of a public JWK that are its key (RFC 7518 §6), and no others. */
export type PublicJwk =
  | { readonly kty: 'EC'; readonly crv: string; readonly x: string; readonly y: string }
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string };

/** A public JWK, read and checked. */
export interface ParsedJwk {
  readonly publicKey: PublicKey;
  readonly keyId: string | undefined;
  /** Set where the JWK restricts its key to one algorithm. */
  readonly algorithm: JwsAlgorithm | undefined;
}

/** Octets of one coordinate (RFC 7518 §6.2.1.2). */
const COORDINATE_BYTES: ReadonlyMap<string, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
]);
/** RSA 8192; the key policy draws the line lower, this one is before any arithmetic. */
const MAX_MODULUS_BYTES = 1024;
const MAX_EXPONENT_BYTES = 8;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/**
 * Reads a public JWK: EC P-256, P-384, P-521 or RSA. A JWK with private members is refused rather
 * than stripped, so that what leaked is never trusted nor published again.
 */
export function parseJwk(jwk: JsonObject): Result<ParsedJwk> {
  const leaked = PRIVATE_MEMBERS.find((name) => jwk.has(name));
  if (leaked !== undefined) return fail('JWK_PRIVATE', `JWK has the private member "${leaked}"`);
  const operations = jwk.get('key_ops');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return fail('JWK_USE', 'JWK has key_ops without "verify"');
  }
  const keyId = jwk.get('kid');
  if (keyId !== undefined && typeof keyId !== 'string') {
    return fail('JWK_MEMBER', 'JWK has a "kid" that is not a string');
  }
  const publicKey = readKey(jwk);
  if (!publicKey.ok) return publicKey;
  const algorithm = readAlgorithm(jwk, publicKey.value);
  if (!algorithm.ok) return algorithm;
  return ok({ publicKey: publicKey.value, keyId, algorithm: algorithm.value });
}

function readKey(jwk: JsonObject): Result<PublicKey> {
  const members = readKeyMembers(jwk);
  if (!members.ok) return members;
  let spki: Uint8Array;
  try {
    spki = createPublicKey({ key: { ...members.value }, format: 'jwk' }).export({
      format: 'der',
      type: 'spki',
    });
  } catch (cause) {
    return fail('JWK_MEMBER', 'JWK is not a key of its curve or modulus', { cause });
  }
  const publicKey = parsePublicKey(spki);
  // The policy is one for workloads and knows no P-521, which ES512 needs; RSA needs all of it.
  return publicKey.ok && publicKey.value.type === 'rsa'
    ? checkKeyPolicy(publicKey.value)
    : publicKey;
}

function readKeyMembers(jwk: JsonObject): Result<PublicJwk> {
  const kty = jwk.get('kty');
  if (kty === 'EC') return readEcMembers(jwk);
  if (kty === 'RSA') return readRsaMembers(jwk);
  return fail('JWK_KEY_TYPE', 'JWK is neither EC nor RSA');
}

function readEcMembers(jwk: JsonObject): Result<PublicJwk> {
  const crv = jwk.get('crv');
  const bytes = typeof crv === 'string' ? COORDINATE_BYTES.get(crv) : undefined;
  if (typeof crv !== 'string' || bytes === undefined) {
    return fail('JWK_KEY_TYPE', 'JWK curve is not P-256, P-384 or P-521');
  }
  const [x, y] = [jwk.get('x'), jwk.get('y')];
  if (typeof x !== 'string' || typeof y !== 'string') {
    return fail('JWK_MEMBER', 'JWK lacks a coordinate');
  }
  if (decodeBase64Url(x)?.length !== bytes || decodeBase64Url(y)?.length !== bytes) {
    return fail('JWK_MEMBER', `JWK coordinate is not base64url of ${bytes} octets`);
  }
  return ok({ kty: 'EC', crv, x, y });
}

function readRsaMembers(jwk: JsonObject): Result<PublicJwk> {
  const [n, e] = [jwk.get('n'), jwk.get('e')];
  if (typeof n !== 'string' || typeof e !== 'string') {
    return fail('JWK_MEMBER', 'JWK lacks the modulus or the exponent');
  }
  if (!isBase64UrlUInt(n, MAX_MODULUS_BYTES) || !isBase64UrlUInt(e, MAX_EXPONENT_BYTES)) {
    return fail('JWK_MEMBER', 'JWK modulus or exponent is not a base64url integer in range');
  }
  return ok({ kty: 'RSA', n, e });
}

/** Base64urlUInt (RFC 7518 §2): as few octets as the value needs. */
function isBase64UrlUInt(text: string, maxBytes: number): boolean {
  const bytes = decodeBase64Url(text);
  return bytes?.[0] !== undefined && bytes[0] !== 0 && bytes.length <= maxBytes;
}

function readAlgorithm(jwk: JsonObject, key: PublicKey): Result<JwsAlgorithm | undefined> {
  const algorithm = jwk.get('alg');
  if (algorithm === undefined) return ok(undefined);
  const fits =
    typeof algorithm === 'string' &&
    isJwsAlgorithm(algorithm) &&
    algorithmFitsKey(algorithm, key.type);
  if (fits) return ok(algorithm);
  return fail(
    'JWK_ALGORITHM',
    'JWK names an algorithm that is not allowed or does not fit its key',
  );
}

/** The JWK of a public key: its key members only. Refuses keys that are neither EC nor RSA. */
export function formatJwk(publicKey: PublicKey): Result<PublicJwk> {
  const key = toKeyObject(publicKey);
  if (!key.ok) return key;
  const { kty, crv, x, y, n, e } = key.value.export({ format: 'jwk' });
  if (kty === 'EC' && crv !== undefined && x !== undefined && y !== undefined) {
    return ok({ kty, crv, x, y });
  }
  if (kty === 'RSA' && n !== undefined && e !== undefined) return ok({ kty, n, e });
  return fail('JWK_KEY_TYPE', 'public key is neither EC nor RSA');
}
