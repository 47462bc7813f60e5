import { encodeBase64Url } from './base64.ts';
import type { JwsAlgorithm } from './jws.ts';
import type { SpiffeId } from './spiffe-id.ts';

/** What a JWT-SVID says. */
export interface JwtSvidClaims {
  readonly id: SpiffeId;
  /** As `checkAudience` answered them. */
  readonly audience: readonly string[];
  /** Unix seconds, whole. */
  readonly issuedAtSeconds: number;
  /** Unix seconds, whole. */
  readonly expiresAtSeconds: number;
  readonly issuer?: string;
  readonly jwtId?: string;
}

/**
 * The encoded header of every token that a key signs: made once per key. Only `alg`, `kid` and `typ`
 * (JWT-SVID §2); `kid` always, since every known client wants it.
 */
export function encodeJwtSvidHeader(algorithm: JwsAlgorithm, keyId: string): string {
  return encodeBase64Url(Buffer.from(JSON.stringify({ alg: algorithm, kid: keyId, typ: 'JWT' })));
}

/**
 * The text to sign, all ASCII: a prepared header and the claims. `aud` is always an array and `iat`
 * always there (older clients need both), times are JSON integers (JWT-SVID schema).
 */
export function encodeJwtSvidInput(header: string, claims: JwtSvidClaims): string {
  const { id, audience, issuedAtSeconds, expiresAtSeconds, issuer, jwtId } = claims;
  if (!Number.isSafeInteger(issuedAtSeconds) || !Number.isSafeInteger(expiresAtSeconds)) {
    throw new TypeError('times of a JWT-SVID are whole seconds');
  }
  const json = JSON.stringify({
    sub: id.uri,
    aud: audience,
    exp: expiresAtSeconds,
    iat: issuedAtSeconds,
    // JSON.stringify leaves out what is undefined.
    iss: issuer,
    jti: jwtId,
  });
  return `${header}.${Buffer.from(json).toString('base64url')}`;
}

/** The token: what was signed, and its signature (for ECDSA in the form of RFC 7518 §3.4, r then s). */
export function encodeJwtSvid(input: string, signature: Uint8Array): string {
  return `${input}.${encodeBase64Url(signature)}`;
}
