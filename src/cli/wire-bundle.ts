import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../spiffe/bundle.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { parseCertificate } from '../x509/certificate.ts';

/** A bundle as `spire.api.types` carries it, checked. Fails with CLI_ANSWER_INVALID. */
export function fromWireBundle(wire: WireBundle): Result<Bundle> {
  const trustDomain = parseTrustDomain(wire.trustDomain);
  if (!trustDomain.ok) return invalid(trustDomain.error.message);
  const x509Authorities: BundleX509Authority[] = [];
  for (const { asn1, tainted } of wire.x509Authorities) {
    const certificate = parseCertificate(asn1);
    if (!certificate.ok) return invalid(certificate.error.message);
    x509Authorities.push({ certificate: certificate.value, tainted });
  }
  const jwtAuthorities = wire.jwtAuthorities.map(
    ({ publicKey, keyId, expiresAt, tainted }): BundleJwtAuthority => ({
      keyId,
      publicKeySpki: publicKey,
      expiresAtSeconds: Number(expiresAt),
      tainted,
    }),
  );
  return ok({
    trustDomain: trustDomain.value,
    x509Authorities,
    jwtAuthorities,
    sequence: wire.sequenceNumber,
    refreshHintSeconds: Number(wire.refreshHint),
  });
}

function invalid(problem: string): Result<never> {
  return fail('CLI_ANSWER_INVALID', `the bundle in the answer: ${problem}`);
}
