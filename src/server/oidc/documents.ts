import { hash } from 'node:crypto';
import { ok, type Result } from '../../base/result.ts';
import type { Bundle, BundleJwtAuthority } from '../../spiffe/bundle.ts';
import { formatJwk, type PublicJwk } from '../../spiffe/jwk.ts';
import { defaultJwsAlgorithm, type JwsAlgorithm } from '../../spiffe/jws.ts';
import { parsePublicKey } from '../../x509/public-key.ts';

/** A document as it is served. */
export interface OidcDocument {
  readonly body: Uint8Array;
  /** Entity tag (RFC 9110 §8.8.3), strong. */
  readonly etag: string;
}

/** Where documents stand. */
export interface OidcPlace {
  /** As tokens have it in `iss`. */
  readonly issuer: string;
  readonly jwksUri: string | undefined;
}

/** A key of the JWK Set: for signatures, by one algorithm (RFC 7517 §4). */
type SigningJwk = PublicJwk & {
  readonly use: 'sig';
  readonly kid: string;
  readonly alg?: JwsAlgorithm;
};

/** The documents of a bundle, by their paths. */
export function oidcDocuments(
  bundle: Bundle,
  { issuer, jwksUri }: OidcPlace,
): Result<ReadonlyMap<string, OidcDocument>> {
  const keys: SigningJwk[] = [];
  for (const authority of bundle.jwtAuthorities) {
    const jwk = jwkOf(authority);
    if (!jwk.ok) return jwk;
    keys.push(jwk.value);
  }
  const root = new URL(issuer).pathname.replace(/\/$/, '');
  const algorithms = [...new Set(keys.flatMap(({ alg }) => alg ?? []))].sort();
  // Beyond what is REQUIRED of who signs users in (Discovery 1.0 §3), which nobody does here.
  const configuration = {
    issuer,
    jwks_uri: jwksUri ?? `${issuer}/keys`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: algorithms,
    claims_supported: ['sub', 'aud', 'iss', 'exp', 'iat'],
  };
  return ok(
    new Map([
      [`${root}/.well-known/openid-configuration`, documentOf(configuration)],
      [`${root}/keys`, documentOf({ keys })],
    ]),
  );
}

function jwkOf(authority: BundleJwtAuthority): Result<SigningJwk> {
  const { keyId: kid, publicKeySpki, publicKey } = authority;
  const key = publicKey === undefined ? parsePublicKey(publicKeySpki) : ok(publicKey);
  if (!key.ok) return key;
  const jwk = formatJwk(key.value);
  if (!jwk.ok) return jwk;
  const alg = authority.algorithm ?? defaultJwsAlgorithm(key.value.type);
  return ok({ use: 'sig', kid, ...(alg === undefined ? {} : { alg }), ...jwk.value });
}

function documentOf(value: object): OidcDocument {
  const body = Buffer.from(JSON.stringify(value));
  return { body, etag: `"${hash('sha256', body, 'base64url')}"` };
}
