import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { Certificate, GeneralName } from '../x509/types.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';
import type { TrustDomain } from './trust-domain.ts';

/**
 * Checks what every validator must about a leaf (X509-SVID §5.2), and that its key usage is there,
 * critical and allows signatures (§4.3): answers the SPIFFE ID. Names of other kinds are not judged.
 */
export function checkLeafProfile(certificate: Certificate): Result<SpiffeId> {
  const id = leafId(certificate);
  if (!id.ok) return id;
  // §5.2: a CA never authenticates. An absent extension means false (RFC 5280 §4.2.1.9).
  if (certificate.basicConstraints?.ca === true) {
    return fail('X509_SVID_CA', 'leaf certificate has the CA flag');
  }
  const usage = certificate.keyUsage;
  if (usage === undefined || !usage.critical) {
    return fail('X509_SVID_KEY_USAGE', 'leaf certificate has no critical key usage');
  }
  if (usage.keyCertSign || usage.crlSign) {
    return fail('X509_SVID_KEY_USAGE', 'leaf certificate may sign certificates or CRLs');
  }
  if (!usage.digitalSignature) {
    return fail('X509_SVID_KEY_USAGE', 'leaf certificate may not make digital signatures');
  }
  return id;
}

function leafId(certificate: Certificate): Result<SpiffeId> {
  const uris = uriNames(certificate);
  const [uri] = uris;
  // §2, §5.2: more than one URI name is refused, whatever the schemes.
  if (uri === undefined || uris.length > 1) {
    return fail('X509_SVID_URI_SAN', `leaf certificate has ${uris.length} URI names, not one`);
  }
  const id = parseSpiffeId(uri);
  if (!id.ok) {
    const why = `leaf certificate has no valid SPIFFE ID: ${id.error.message}`;
    return fail('X509_SVID_ID', why, { cause: id.error });
  }
  // §5.2: the SPIFFE ID of a leaf has a path.
  if (id.value.path !== '') return id;
  return fail('X509_SVID_ID', 'leaf certificate names a trust domain, not a workload');
}

/** The URI names of a certificate. */
function uriNames(certificate: Certificate): readonly string[] {
  const names: readonly GeneralName[] = certificate.subjectAltName?.names ?? [];
  return names.flatMap((name) => (name.kind === 'uri' ? [name.text] : []));
}

/**
 * Checks the SPIFFE ID of a signing certificate, if it has one (X509-SVID §3.2): no path. URI names
 * of other schemes, as upstream authorities have them, are not judged.
 */
export function checkSignerId(certificate: Certificate): Result<void> {
  const ids = uriNames(certificate).filter((uri) => /^spiffe:/i.test(uri));
  if (ids.length > 1) {
    return fail('X509_SVID_SIGNER_ID', 'signing certificate has several SPIFFE IDs');
  }
  for (const uri of ids) {
    const id = parseSpiffeId(uri);
    if (!id.ok || id.value.path !== '') {
      return fail('X509_SVID_SIGNER_ID', 'signing certificate has a SPIFFE ID with a path');
    }
  }
  return ok(undefined);
}

/**
 * Checks a signing certificate of ours or of an upstream (X509-SVID §3.2, §4.1, §4.3, Appendix A): CA
 * flag, critical key usage of certificates and CRLs alone, and a SPIFFE ID, if any, of this trust
 * domain without a path.
 */
export function checkCaProfile(certificate: Certificate, trustDomain: TrustDomain): Result<void> {
  const refuse = (what: string): Failed => fail('X509_CA_PROFILE', `signing certificate ${what}`);
  if (certificate.basicConstraints?.ca !== true) return refuse('lacks the CA flag');
  const usage = certificate.keyUsage;
  if (usage === undefined || !usage.critical) return refuse('has no critical key usage');
  if (!usage.keyCertSign) return refuse('may not sign certificates');
  const leafUsage =
    usage.digitalSignature ||
    usage.contentCommitment ||
    usage.keyEncipherment ||
    usage.dataEncipherment ||
    usage.keyAgreement ||
    usage.encipherOnly ||
    usage.decipherOnly;
  if (leafUsage) return refuse('has key usages of a leaf');
  const signer = checkSignerId(certificate);
  if (!signer.ok) return signer;
  const foreign = uriNames(certificate).some(
    (uri) => /^spiffe:/i.test(uri) && uri !== trustDomain.id,
  );
  return foreign ? refuse(`has another SPIFFE ID than "${trustDomain.id}"`) : ok(undefined);
}
