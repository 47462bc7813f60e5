import { fail, ok, type Result } from '../base/result.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import type { PublicKey } from '../x509/types.ts';
import { MAX_AUDIENCES } from './audience.ts';
import type { Bundle, BundleJwtAuthority, BundleSource } from './bundle.ts';
import { type JsonObject, type JsonValue, parseJsonObject } from './json.ts';
import { algorithmFitsKey, type CompactJws, parseCompactJws, verifyCompactJws } from './jws.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

/** Longest JWT-SVID in bytes: what fits HTTP headers, and all that we issue. */
export const MAX_JWT_SVID_BYTES = 16_384;
/** Longest tolerance for clocks that differ (JWT-SVID §3.3 allows a small one). */
export const MAX_LEEWAY_MS = 120_000;
/** Longest time to expiry that is believed: a token for ever is a mistake, not an SVID. */
const MAX_LIFETIME_SECONDS = 10 * 366 * 86_400;
/** Most keys that a token without `kid` is tried against. */
const MAX_TRIED_KEYS = 16;

/** A JWT-SVID, read. Whether it was verified depends on the function that made it. */
export interface JwtSvid {
  readonly token: string;
  readonly id: SpiffeId;
  readonly audience: readonly string[];
  readonly expiresAtSeconds: number;
  /** Undefined where the token has no `iat`. */
  readonly issuedAtSeconds: number | undefined;
  /** Every claim, those above included. */
  readonly claims: JsonObject;
}

/** What a JWT-SVID is validated against. */
export interface JwtSvidValidation {
  readonly token: string;
  readonly bundles: BundleSource;
  /** The validator's own name: must be among the token's audiences. */
  readonly audience: string;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Tolerance for clocks that differ; at most {@link MAX_LEEWAY_MS}, 0 unless told. */
  readonly leewayMs?: number;
}

interface ReadToken {
  readonly jws: CompactJws;
  readonly svid: JwtSvid;
  readonly notBeforeSeconds: number | undefined;
}

/**
 * Validates a JWT-SVID (JWT-SVID §4): shape, then signature by the bundle of the subject's trust
 * domain only, then time, then audience. An expired token is refused as `token has expired`, the
 * text that clients match.
 */
export function validateJwtSvid(request: JwtSvidValidation): Result<JwtSvid> {
  const leewayMs = request.leewayMs ?? 0;
  if (!(leewayMs >= 0 && leewayMs <= MAX_LEEWAY_MS)) {
    throw new TypeError(`leewayMs must be between 0 and ${MAX_LEEWAY_MS}`);
  }
  const read = readToken(request.token);
  if (!read.ok) return read;
  const { jws, svid } = read.value;
  const bundle = request.bundles(svid.id.trustDomain);
  if (bundle === undefined || bundle.trustDomain.name !== svid.id.trustDomain.name) {
    const name = svid.id.trustDomain.name;
    return fail('JWT_SVID_TRUST_DOMAIN', `no bundle for the trust domain "${name}"`);
  }
  const verified = verifyByBundle(jws, bundle);
  if (!verified.ok) return verified;
  const inTime = checkTime(read.value, request.atMs, leewayMs);
  if (!inTime.ok) return inTime;
  if (svid.audience.includes(request.audience)) return ok(svid);
  return fail('JWT_SVID_AUDIENCE', `token is not for the audience ${quoted(request.audience)}`);
}

/**
 * Reads a JWT-SVID without verifying anything: neither signature nor time nor audience. For clients
 * that look into tokens which the Workload API just gave them. Never authenticate with it.
 */
export function parseJwtSvidUnverified(token: string): Result<JwtSvid> {
  const read = readToken(token);
  return read.ok ? ok(read.value.svid) : read;
}

function readToken(token: string): Result<ReadToken> {
  const jws = parseCompactJws(token, MAX_JWT_SVID_BYTES);
  if (!jws.ok) return jws;
  // JWT-SVID §2.3; "wit+jwt" and "at+jwt" are other kinds of token (WIT-SVID §7.1).
  const type = jws.value.header.get('typ');
  if (type !== undefined && type !== 'JWT' && type !== 'JOSE') {
    return fail('JWT_SVID_HEADER', 'token header has another typ than JWT or JOSE');
  }
  const claims = parseJsonObject(jws.value.payload, { maxBytes: MAX_JWT_SVID_BYTES });
  if (!claims.ok) return claims;
  const svid = readClaims(token, claims.value);
  if (!svid.ok) return svid;
  const notBefore = readTime(claims.value, 'nbf');
  if (!notBefore.ok) return notBefore;
  return ok({ jws: jws.value, svid: svid.value, notBeforeSeconds: notBefore.value });
}

function readClaims(token: string, claims: JsonObject): Result<JwtSvid> {
  const id = readSubject(claims.get('sub'));
  if (!id.ok) return id;
  const audience = readAudience(claims.get('aud'));
  if (!audience.ok) return audience;
  const expiresAt = readTime(claims, 'exp');
  if (!expiresAt.ok) return expiresAt;
  // JWT-SVID §3.3: a token without expiry is refused.
  if (expiresAt.value === undefined) return fail('JWT_SVID_MALFORMED', 'token has no "exp" claim');
  const issuedAt = readTime(claims, 'iat');
  if (!issuedAt.ok) return issuedAt;
  return ok({
    token,
    id: id.value,
    audience: audience.value,
    expiresAtSeconds: expiresAt.value,
    issuedAtSeconds: issuedAt.value,
    claims,
  });
}

/** JWT-SVID §3.1: the SPIFFE ID of a workload, so one with a path. */
function readSubject(subject: JsonValue | undefined): Result<SpiffeId> {
  if (typeof subject !== 'string') {
    return fail('JWT_SVID_SUBJECT', 'token has no "sub" claim that is a string');
  }
  const id = parseSpiffeId(subject);
  if (!id.ok) {
    const why = `token subject is not a SPIFFE ID: ${id.error.message}`;
    return fail('JWT_SVID_SUBJECT', why, { cause: id.error });
  }
  if (id.value.path !== '') return id;
  return fail('JWT_SVID_SUBJECT', 'token subject is a trust domain, not a workload');
}

/** JWT-SVID §3.2 with RFC 7519 §4.1.3: a string or an array of them, at least one, none empty. */
function readAudience(claim: JsonValue | undefined): Result<readonly string[]> {
  const values: readonly (JsonValue | undefined)[] = Array.isArray(claim) ? claim : [claim];
  const audience = values.filter((value) => typeof value === 'string' && value !== '');
  if (audience.length === 0 || audience.length !== values.length) {
    return fail('JWT_SVID_MALFORMED', 'token has no "aud" claim of strings that are not empty');
  }
  if (audience.length > MAX_AUDIENCES) {
    return fail('JWT_SVID_MALFORMED', `token has more than ${MAX_AUDIENCES} audiences`);
  }
  // The filter above leaves strings only, which its type does not say.
  return ok(audience as readonly string[]);
}

/** NumericDate as whole seconds from 0 (RFC 7519 §2, narrowed by the JWT-SVID schema). */
function readTime(claims: JsonObject, name: 'exp' | 'nbf' | 'iat'): Result<number | undefined> {
  const value = claims.get(name);
  if (value === undefined) return ok(undefined);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return ok(value);
  return fail('JWT_SVID_MALFORMED', `token has a "${name}" claim that is not whole seconds`);
}

function checkTime(token: ReadToken, atMs: number, leewayMs: number): Result<void> {
  const { expiresAtSeconds } = token.svid;
  // RFC 7519 §4.1.4: not accepted on the expiry itself, nor after.
  if (expiresAtSeconds * 1000 + leewayMs <= atMs) {
    return fail('JWT_SVID_EXPIRED', 'token has expired');
  }
  if (expiresAtSeconds > atMs / 1000 + MAX_LIFETIME_SECONDS) {
    return fail('JWT_SVID_LIFETIME', 'token expires more than ten years from now');
  }
  if (token.notBeforeSeconds !== undefined && token.notBeforeSeconds * 1000 > atMs + leewayMs) {
    return fail('JWT_SVID_NOT_YET_VALID', 'token is not valid yet');
  }
  return ok(undefined);
}

/** kid → key → the algorithms that fit it: the token never chooses how its key is used. */
function verifyByBundle(jws: CompactJws, bundle: Bundle): Result<void> {
  const keys = candidateKeys(jws, bundle);
  if (!keys.ok) return keys;
  let refusal: Result<void> = fail('JWT_SVID_KEY', 'no key of the bundle fits the token');
  for (const key of keys.value) {
    refusal = verifyCompactJws(jws, key);
    if (refusal.ok) return refusal;
  }
  return refusal;
}

function candidateKeys(jws: CompactJws, bundle: Bundle): Result<readonly PublicKey[]> {
  const name = bundle.trustDomain.name;
  const { keyId } = jws;
  if (keyId === undefined) return keysThatFit(jws, bundle);
  const named = bundle.jwtAuthorities.filter((authority) => authority.keyId === keyId);
  const [authority] = named;
  if (authority === undefined || named.length > 1) {
    const what = authority === undefined ? 'no key' : 'several keys';
    return fail('JWT_SVID_KEY', `${what} with id ${quoted(keyId)} in the bundle of "${name}"`);
  }
  const key = authorityKey(authority);
  if (!key.ok) return key;
  if (mayVerify(authority, jws, key.value)) return ok([key.value]);
  return fail('JWT_SVID_KEY', `key with id ${quoted(keyId)} does not fit ${jws.algorithm}`);
}

/** JWT-SVID §2.2 makes `kid` optional: every key of the trust domain that fits is tried. */
function keysThatFit(jws: CompactJws, bundle: Bundle): Result<readonly PublicKey[]> {
  const keys: PublicKey[] = [];
  for (const authority of bundle.jwtAuthorities) {
    const key = authorityKey(authority);
    if (key.ok && mayVerify(authority, jws, key.value)) keys.push(key.value);
  }
  if (keys.length <= MAX_TRIED_KEYS) return ok(keys);
  return fail('JWT_SVID_KEY', `token names no key id, and more than ${MAX_TRIED_KEYS} keys fit`);
}

function mayVerify(authority: BundleJwtAuthority, jws: CompactJws, key: PublicKey): boolean {
  const sole = authority.algorithm ?? jws.algorithm;
  return sole === jws.algorithm && algorithmFitsKey(jws.algorithm, key.type);
}

function authorityKey(authority: BundleJwtAuthority): Result<PublicKey> {
  if (authority.publicKey !== undefined) return ok(authority.publicKey);
  const key = parsePublicKey(authority.publicKeySpki);
  if (key.ok) authority.publicKey = key.value;
  return key;
}

/** Foreign text in a message: short, and as JSON so that nothing in it reaches a terminal raw. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}…` : text);
}
