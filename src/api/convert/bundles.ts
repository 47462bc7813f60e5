import { fail, ok, type Result } from '../../base/result.ts';
import { type BundleMask, Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { Encoded } from '../../rpc/service.ts';
import type { Bundle, BundleJwtAuthority, BundleX509Authority } from '../../spiffe/bundle.ts';
import { MAX_BUNDLE_CERTIFICATES, MAX_BUNDLE_JWT_KEYS } from '../../spiffe/bundle-format.ts';
import { formatJwk } from '../../spiffe/jwk.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import { maskBundle } from './masks.ts';

const MAX_HINT_SECONDS = BigInt(Number.MAX_SAFE_INTEGER);

const wholeBundles = new WeakMap<Bundle, WireBundle>();
const encodedBundles = new WeakMap<Bundle, Encoded>();

/** A bundle in its wire form, whole; the same object for the same bundle. */
export function toWireBundle(bundle: Bundle): WireBundle {
  const known = wholeBundles.get(bundle);
  if (known !== undefined) return known;
  const message: WireBundle = {
    trustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.map(({ certificate, tainted }) => ({
      asn1: Buffer.from(certificate.der),
      tainted,
    })),
    jwtAuthorities: bundle.jwtAuthorities.map((key) => ({
      publicKey: Buffer.from(key.publicKeySpki),
      keyId: key.keyId,
      expiresAt: BigInt(key.expiresAtSeconds),
      tainted: key.tainted,
    })),
    refreshHint: BigInt(bundle.refreshHintSeconds),
    sequenceNumber: bundle.sequence,
    witAuthorities: [],
  };
  wholeBundles.set(bundle, message);
  return message;
}

/** The answer of GetBundle. Polling agents ask for it whole every five seconds: encoded once. */
export function answerBundle(bundle: Bundle, mask: BundleMask | undefined): WireBundle | Encoded {
  if (mask !== undefined) return maskBundle(toWireBundle(bundle), mask);
  const known = encodedBundles.get(bundle);
  if (known !== undefined) return known;
  const encoded = new Encoded(Buffer.from(WireBundle.encode(toWireBundle(bundle)).finish()));
  encodedBundles.set(bundle, encoded);
  return encoded;
}

/**
 * The bundle of another trust domain that somebody gives. One bad authority refuses the whole, since a
 * part of a bundle is another bundle. Fails with FEDERATED_BUNDLE_INVALID, or as trust domains do.
 */
export function fromWireBundle(wire: WireBundle): Result<Bundle> {
  const trustDomain = parseTrustDomain(wire.trustDomain);
  if (!trustDomain.ok) return trustDomain;
  const x509Authorities = readCertificates(wire);
  if (!x509Authorities.ok) return x509Authorities;
  const jwtAuthorities = readJwtKeys(wire);
  if (!jwtAuthorities.ok) return jwtAuthorities;
  if (wire.refreshHint < 0n || wire.refreshHint > MAX_HINT_SECONDS) {
    return invalid('refresh_hint is out of range');
  }
  return ok({
    trustDomain: trustDomain.value,
    x509Authorities: x509Authorities.value,
    jwtAuthorities: jwtAuthorities.value,
    sequence: wire.sequenceNumber,
    refreshHintSeconds: Number(wire.refreshHint),
  });
}

function readCertificates(wire: WireBundle): Result<readonly BundleX509Authority[]> {
  if (wire.x509Authorities.length > MAX_BUNDLE_CERTIFICATES) {
    return invalid(`more than ${MAX_BUNDLE_CERTIFICATES} X.509 authorities`);
  }
  const authorities = new Map<string, BundleX509Authority>();
  for (const [index, { asn1, tainted }] of wire.x509Authorities.entries()) {
    const certificate = parseCertificate(new Uint8Array(asn1));
    if (!certificate.ok) {
      return invalid(`x509_authorities[${index}]: ${certificate.error.message}`);
    }
    authorities.set(asn1.toString('base64'), { certificate: certificate.value, tainted });
  }
  return ok([...authorities.values()]);
}

function readJwtKeys(wire: WireBundle): Result<readonly BundleJwtAuthority[]> {
  if (wire.jwtAuthorities.length > MAX_BUNDLE_JWT_KEYS) {
    return invalid(`more than ${MAX_BUNDLE_JWT_KEYS} JWT authorities`);
  }
  const authorities = new Map<string, BundleJwtAuthority>();
  for (const [index, message] of wire.jwtAuthorities.entries()) {
    const { publicKey, keyId, expiresAt, tainted } = message;
    const key = parsePublicKey(new Uint8Array(publicKey));
    // Agents have to hand it on as a JWK.
    const jwk = key.ok ? formatJwk(key.value) : key;
    if (!key.ok || !jwk.ok) return invalid(`jwt_authorities[${index}] is no EC or RSA key`);
    if (keyId === '') return invalid(`jwt_authorities[${index}] has no key_id`);
    if (authorities.has(keyId)) return invalid(`two JWT authorities have one key_id`);
    if (expiresAt < 0n || expiresAt > MAX_HINT_SECONDS) {
      return invalid(`jwt_authorities[${index}]: expires_at is out of range`);
    }
    authorities.set(keyId, {
      keyId,
      publicKeySpki: key.value.spki,
      expiresAtSeconds: Number(expiresAt),
      tainted,
      publicKey: key.value,
    });
  }
  return ok([...authorities.values()]);
}

function invalid(problem: string): Result<never> {
  return fail('FEDERATED_BUNDLE_INVALID', `the bundle cannot be taken: ${problem}`);
}
