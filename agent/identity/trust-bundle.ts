import { fail, ok, type Result } from '../../src/base/result.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../../src/spiffe/bundle.ts';
import { formatJwtBundle, formatX509Bundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { parsePublicKey } from '../../src/x509/public-key.ts';

/** A bundle with the bytes that workloads get, made once. */
export interface TrustBundle {
  readonly bundle: Bundle;
  /** CA certificates, DER after DER (WLAPI-18). */
  readonly x509: Uint8Array;
  /** JWK Set (WLAPI-26, WLAPI-27). */
  readonly jwks: Uint8Array;
}

/** Makes the bytes of a bundle. */
export function encodeTrustBundle(bundle: Bundle): Result<TrustBundle> {
  const jwks = formatJwtBundle(bundle);
  if (!jwks.ok) return jwks;
  return ok({ bundle, x509: formatX509Bundle(bundle), jwks: jwks.value });
}

/**
 * Reads a bundle that the server sent. One bad authority fails it, since workloads must not see a
 * part for the whole. Fails with AGENT_SERVER_ANSWER.
 */
export function readTrustBundle(wire: WireBundle): Result<TrustBundle> {
  const trustDomain = parseTrustDomain(wire.trustDomain);
  if (!trustDomain.ok) return refuse(wire, trustDomain.error.message);
  const x509Authorities: BundleX509Authority[] = [];
  for (const { asn1, tainted } of wire.x509Authorities) {
    const certificate = parseCertificate(asn1);
    if (!certificate.ok) return refuse(wire, certificate.error.message);
    x509Authorities.push({ certificate: certificate.value, tainted });
  }
  const jwtAuthorities: BundleJwtAuthority[] = [];
  for (const { publicKey, keyId, expiresAt, tainted } of wire.jwtAuthorities) {
    const key = parsePublicKey(publicKey);
    if (!key.ok) return refuse(wire, key.error.message);
    jwtAuthorities.push({
      keyId,
      publicKeySpki: key.value.spki,
      expiresAtSeconds: Number(expiresAt),
      tainted,
      publicKey: key.value,
    });
  }
  return encodeTrustBundle({
    trustDomain: trustDomain.value,
    x509Authorities,
    jwtAuthorities,
    sequence: wire.sequenceNumber,
    refreshHintSeconds: Number(wire.refreshHint),
  });
}

/** The bytes that a bundle is stored as: `spire.api.types.Bundle`. */
export function storeBundle(bundle: Bundle): Uint8Array {
  return WireBundle.encode({
    trustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.map(({ certificate, tainted }) => ({
      asn1: Buffer.from(certificate.der),
      tainted,
    })),
    jwtAuthorities: bundle.jwtAuthorities.map(
      ({ keyId, publicKeySpki, expiresAtSeconds, tainted }) => ({
        publicKey: Buffer.from(publicKeySpki),
        keyId,
        expiresAt: BigInt(expiresAtSeconds),
        tainted,
      }),
    ),
    refreshHint: BigInt(bundle.refreshHintSeconds),
    sequenceNumber: bundle.sequence,
    witAuthorities: [],
  }).finish();
}

/** The bundle of stored bytes. Fails with AGENT_STATE_CORRUPT. */
export function restoreBundle(bytes: Uint8Array): Result<TrustBundle> {
  try {
    return readTrustBundle(WireBundle.decode(bytes));
  } catch (cause) {
    return fail('AGENT_STATE_CORRUPT', 'the stored bundle cannot be read', { cause });
  }
}

function refuse(wire: WireBundle, problem: string): Result<never> {
  return fail('AGENT_SERVER_ANSWER', `the bundle of ${wire.trustDomain.slice(0, 255)}: ${problem}`);
}
