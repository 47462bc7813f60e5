import { concatBytes, utf8 } from '../base/bytes.ts';
import { ok, type Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import { parseCertificates, parseCertificatesPem } from '../x509/certificate.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import type { Certificate } from '../x509/types.ts';
import { encodeBase64 } from './base64.ts';
import { type Bundle, emptyBundle } from './bundle.ts';
import { formatJwk, type PublicJwk } from './jwk.ts';
import type { TrustDomain } from './trust-domain.ts';

/** Most X.509 authorities of one bundle. */
export const MAX_BUNDLE_CERTIFICATES = 256;

/** Most JWT authorities of one bundle. */
export const MAX_BUNDLE_JWT_KEYS = 256;

/** A JWK as it stands in a bundle document, and no other members (Trust Domain and Bundle §4.2). */
type BundleJwk =
  | ({ readonly use: 'x509-svid'; readonly x5c: readonly [string] } & PublicJwk)
  | ({ readonly use?: 'jwt-svid'; readonly kid: string } & PublicJwk);

/**
 * The SPIFFE bundle document (Trust Domain and Bundle §4): JWK Set with sequence and refresh hint,
 * one key per authority, CA certificates as one `x5c` each without `kid`.
 */
export function formatSpiffeBundle(bundle: Bundle): Result<Uint8Array> {
  const keys: BundleJwk[] = [];
  for (const { certificate } of bundle.x509Authorities) {
    const jwk = formatJwk(certificate.publicKey);
    if (!jwk.ok) return jwk;
    keys.push({ use: 'x509-svid', ...jwk.value, x5c: [encodeBase64(certificate.der)] });
  }
  const jwtKeys = jwtJwks(bundle, 'jwt-svid');
  if (!jwtKeys.ok) return jwtKeys;
  keys.push(...jwtKeys.value);
  // The sequence is written by hand: JSON.stringify knows no 64-bit integers.
  const members = [
    `"keys":${JSON.stringify(keys)}`,
    `"spiffe_sequence":${bundle.sequence}`,
    ...(bundle.refreshHintSeconds > 0
      ? [`"spiffe_refresh_hint":${bundle.refreshHintSeconds}`]
      : []),
  ];
  return ok(utf8(`{${members.join(',')}}`));
}

/**
 * The JWK Set of the Workload API and of OIDC discovery: JWT keys only (WLAPI-27), without `use`,
 * whose SPIFFE values generic JOSE libraries refuse.
 */
export function formatJwtBundle(bundle: Bundle): Result<Uint8Array> {
  const keys = jwtJwks(bundle, undefined);
  return keys.ok ? ok(utf8(JSON.stringify({ keys: keys.value }))) : keys;
}

function jwtJwks(bundle: Bundle, use: 'jwt-svid' | undefined): Result<BundleJwk[]> {
  const keys: BundleJwk[] = [];
  for (const { keyId, publicKeySpki, publicKey } of bundle.jwtAuthorities) {
    const key = publicKey === undefined ? parsePublicKey(publicKeySpki) : ok(publicKey);
    if (!key.ok) return key;
    const jwk = formatJwk(key.value);
    if (!jwk.ok) return jwk;
    keys.push({ ...(use === undefined ? {} : { use }), kid: keyId, ...jwk.value });
  }
  return ok(keys);
}

/** The X.509 authorities as the Workload API sends them: DER after DER, no padding (WLAPI-18). */
export function formatX509Bundle(bundle: Bundle): Uint8Array {
  return concatBytes(bundle.x509Authorities.map(({ certificate }) => certificate.der));
}

/** The X.509 authorities as PEM. */
export function formatPemBundle(bundle: Bundle): string {
  return bundle.x509Authorities
    .map(({ certificate }) => encodePem('CERTIFICATE', certificate.der))
    .join('');
}

/** Reads X.509 authorities that stand as DER after DER; at least one, nothing left over. */
export function parseX509Bundle(trustDomain: TrustDomain, ders: Uint8Array): Result<Bundle> {
  const certificates = parseCertificates(ders, MAX_BUNDLE_CERTIFICATES);
  return certificates.ok ? ok(bundleOf(trustDomain, certificates.value)) : certificates;
}

/** Reads X.509 authorities from PEM; at least one. */
export function parsePemBundle(trustDomain: TrustDomain, pem: string | Uint8Array): Result<Bundle> {
  const certificates = parseCertificatesPem(pem, MAX_BUNDLE_CERTIFICATES);
  return certificates.ok ? ok(bundleOf(trustDomain, certificates.value)) : certificates;
}

function bundleOf(trustDomain: TrustDomain, certificates: readonly Certificate[]): Bundle {
  const x509Authorities = certificates.map((certificate) => ({ certificate, tainted: false }));
  return { ...emptyBundle(trustDomain), x509Authorities };
}
