import { ok, type Result } from '../base/result.ts';
import type { TrustBundle } from '../gen/signet/connector/v1/connector.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { formatJwtBundle } from '../spiffe/bundle-format.ts';

/** A bundle as connectors get it. Fails as {@link formatJwtBundle} does. */
export function toTrustBundle(bundle: Bundle): Result<TrustBundle> {
  const jwks = formatJwtBundle(bundle);
  if (!jwks.ok) return jwks;
  return ok({
    trustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.map(({ certificate }) => Buffer.from(certificate.der)),
    jwks: Buffer.from(jwks.value),
    sequence: bundle.sequence,
    refreshHintSeconds: bundle.refreshHintSeconds,
  });
}
