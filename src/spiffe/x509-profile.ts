import { equalBytes } from '../base/bytes.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { Certificate, GeneralName } from '../x509/types.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';
import type { TrustDomain } from './trust-domain.ts';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** DER of a Name without attributes. */
const EMPTY_NAME_LENGTH = 2;

/** What a leaf was asked to be. */
export interface ExpectedLeaf {
  readonly id: SpiffeId;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** In order. */
  readonly dnsNames: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Of the issuing certificate. */
  readonly issuerDer: Uint8Array;
  /** Subject key identifier of the issuing certificate. */
  readonly issuerKeyId: Uint8Array;
}

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

/**
 * Reads a leaf back before it is handed out: what was asked for and nothing else, by the stricter
 * rules for issuers (X509-SVID §2–4, RFC 5280 §4). Version and serial number are the parser's to
 * judge. A refusal means a fault of ours.
 */
export function checkIssuedLeaf(certificate: Certificate, expected: ExpectedLeaf): Result<void> {
  const profile = checkLeafProfile(certificate);
  if (!profile.ok) {
    return fail('X509_LEAF_PROFILE', profile.error.message, { cause: profile.error });
  }
  const fault =
    nameFault(certificate, expected) ??
    extensionFault(certificate) ??
    bindingFault(certificate, expected);
  return fault === undefined ? ok(undefined) : fail('X509_LEAF_PROFILE', `issued leaf ${fault}`);
}

function nameFault(certificate: Certificate, expected: ExpectedLeaf): string | undefined {
  const names = certificate.subjectAltName?.names ?? [];
  const [id, ...rest] = names.toSorted(
    (a, b) => Number(b.kind === 'uri') - Number(a.kind === 'uri'),
  );
  // Byte for byte: what is emitted is canonical (SPIFFE-ID §2.1).
  if (id?.kind !== 'uri' || id.text !== expected.id.uri) return 'has another SPIFFE ID';
  const wanted = expected.dnsNames;
  const same = rest.every((name, index) => name.kind === 'dns' && name.text === wanted[index]);
  if (!same || rest.length !== wanted.length) return 'has other names than asked for';
  // RFC 5280 §4.2.1.6: without a subject the names are critical.
  if (certificate.subjectDer.length > EMPTY_NAME_LENGTH) return undefined;
  return certificate.subjectAltName?.critical
    ? undefined
    : 'has neither subject nor critical names';
}

function extensionFault(certificate: Certificate): string | undefined {
  // Written out, since Python and Rust clients refuse a leaf without it.
  if (certificate.basicConstraints === undefined) return 'has no basic constraints';
  const usages = certificate.extendedKeyUsage;
  if (!usages?.includes(SERVER_AUTH) || !usages.includes(CLIENT_AUTH)) {
    return 'is not for both server and client authentication';
  }
  return undefined;
}

function bindingFault(certificate: Certificate, expected: ExpectedLeaf): string | undefined {
  if (!equalBytes(certificate.publicKey.spki, expected.spki)) return 'has another key';
  if (!equalBytes(certificate.issuerDer, expected.issuerDer)) return 'has another issuer';
  if (certificate.subjectKeyId === undefined) return 'has no subject key identifier';
  const { authorityKeyId } = certificate;
  if (authorityKeyId === undefined || !equalBytes(authorityKeyId, expected.issuerKeyId)) {
    return 'has another authority key identifier';
  }
  const times =
    certificate.notBeforeMs === expected.notBeforeMs &&
    certificate.notAfterMs === expected.notAfterMs;
  return times ? undefined : 'has another validity';
}
