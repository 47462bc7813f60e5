import type { UpstreamTrust } from '../authority/upstream/upstream.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { JWTKey, Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { BundleJwtAuthority, BundleX509Authority } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { checkKeyPolicy } from '../x509/key-policy.ts';
import { parsePublicKey } from '../x509/public-key.ts';

/** Most authorities of each kind that are looked at. */
const MAX_AUTHORITIES = 1000;

/** The bundle of a server above. Errors: UPSTREAM_ANSWER_INVALID; one bad part refuses the whole. */
export function readBundle(bundle: WireBundle, trustDomain: TrustDomain): Result<UpstreamTrust> {
  if (bundle.trustDomain !== trustDomain.name) {
    return invalid(`it is that of ${JSON.stringify(bundle.trustDomain.slice(0, 255))}`);
  }
  if (bundle.x509Authorities.length > MAX_AUTHORITIES) return invalid('it has too many roots');
  const x509: BundleX509Authority[] = [];
  for (const { asn1, tainted } of bundle.x509Authorities) {
    const parsed = parseCertificate(asn1);
    if (!parsed.ok) return invalid(parsed.error.message);
    if (parsed.value.basicConstraints?.ca !== true) return invalid('one of its roots is no CA');
    x509.push({ certificate: parsed.value, tainted });
  }
  const jwt = readJwtKeys(bundle.jwtAuthorities);
  return jwt.ok ? ok({ x509, jwt: jwt.value }) : jwt;
}

/** JWT keys as a server above sends them. Errors: UPSTREAM_ANSWER_INVALID. */
export function readJwtKeys(keys: readonly JWTKey[]): Result<readonly BundleJwtAuthority[]> {
  if (keys.length > MAX_AUTHORITIES) return invalid('it has too many JWT keys');
  const read = new Map<string, BundleJwtAuthority>();
  for (const { publicKey, keyId, expiresAt, tainted } of keys) {
    if (keyId === '') return invalid('a JWT key has no id');
    if (read.has(keyId)) return invalid('two JWT keys have one id');
    const parsed = parsePublicKey(publicKey);
    const allowed = parsed.ok ? checkKeyPolicy(parsed.value) : parsed;
    if (!allowed.ok) return invalid(allowed.error.message);
    const expiresAtSeconds = Number(expiresAt);
    if (!Number.isSafeInteger(expiresAtSeconds) || expiresAtSeconds < 0) {
      return invalid('the end of a JWT key is out of range');
    }
    read.set(keyId, { keyId, publicKeySpki: allowed.value.spki, expiresAtSeconds, tainted });
  }
  return ok([...read.values()]);
}

function invalid(why: string): Failed {
  return fail('UPSTREAM_ANSWER_INVALID', `the bundle from upstream is not used: ${why}`);
}
