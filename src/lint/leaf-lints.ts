import { equalBytes } from '../base/bytes.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { derName } from '../x509/name-writer.ts';
import { OID } from '../x509/oids.ts';
import { MAX_COMMON_NAME } from '../x509/template.ts';
import type { Certificate } from '../x509/types.ts';
import {
  CERTIFICATE_LINTS,
  type CertificateExpectation,
  extensionOf,
  hasExactly,
  isUncritical,
  namesIssuerKey,
} from './certificate-lints.ts';
import type { Lint } from './lint.ts';

/** What a leaf must say, all of it. */
export interface LeafExpectation extends CertificateExpectation {
  readonly id: SpiffeId;
  /** In order. */
  readonly dnsNames: readonly string[];
}

const LEAF_EXTENSIONS: readonly string[] = [
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.basicConstraints,
  OID.subjectKeyId,
  OID.authorityKeyId,
  OID.subjectAltName,
];

/** DER of a Name without attributes. */
const EMPTY_NAME_LENGTH = 2;

/** Every rule for X.509-SVIDs of workloads, agents and servers. */
export const LEAF_LINTS: readonly Lint<LeafExpectation>[] = [
  ...CERTIFICATE_LINTS,
  {
    id: 'leaf-one-uri',
    rule: 'X509-1, X509-2, X509-3',
    says: 'Exactly one of the alternative names is a URI.',
    holds: (certificate) => uris(certificate).length === 1,
  },
  {
    id: 'leaf-spiffe-id',
    rule: 'X509-3, X509-5, X509-22',
    says: 'Each URI is a SPIFFE ID with a path.',
    holds: (certificate, { id }) =>
      // Byte for byte the granted one is one that was parsed; any other has to show what it is.
      uris(certificate).every((uri) => uri === id.uri || hasPath(uri)),
  },
  {
    id: 'leaf-granted-id',
    rule: 'X509-1, ID-5',
    says: 'The first URI is the granted SPIFFE ID, in its canonical form.',
    holds: (certificate, { id }) => uris(certificate)[0] === id.uri,
  },
  {
    id: 'leaf-granted-names',
    rule: 'X509-4',
    says: 'Beside the URI stand the granted DNS names, in order, and nothing of another kind.',
    holds: hasGrantedNames,
  },
  {
    id: 'leaf-subject',
    rule: 'RFC 5280 §4.1.2.6',
    says: 'The subject is that of the profile: C=US, O=SPIRE and the first DNS name.',
    holds: ({ subjectDer }, { dnsNames }) => equalBytes(subjectDer, expectedSubject(dnsNames)),
  },
  {
    id: 'leaf-names-critical',
    rule: 'X509-6, RFC 5280 §4.2.1.6',
    says: 'The alternative names are critical if, and only if, the subject is empty.',
    holds: ({ subjectDer, subjectAltName }) =>
      subjectAltName === undefined ||
      subjectAltName.critical === subjectDer.length <= EMPTY_NAME_LENGTH,
  },
  {
    id: 'leaf-no-ca',
    rule: 'X509-7, X509-21',
    says: 'It is no CA.',
    holds: ({ basicConstraints }) => basicConstraints?.ca !== true,
  },
  {
    id: 'leaf-signs',
    rule: 'X509-9',
    says: 'The key may make digital signatures.',
    holds: ({ keyUsage }) => keyUsage?.digitalSignature !== false,
  },
  {
    id: 'leaf-no-ca-usage',
    rule: 'X509-11, X509-21',
    says: 'The key may sign neither certificates nor CRLs.',
    holds: ({ keyUsage }) => keyUsage === undefined || !(keyUsage.keyCertSign || keyUsage.crlSign),
  },
  {
    id: 'leaf-encrypts',
    rule: 'X509-10',
    says: 'The key may encipher keys and agree on keys, as the profile of SPIRE has it.',
    holds: ({ keyUsage }) =>
      keyUsage === undefined || (keyUsage.keyEncipherment && keyUsage.keyAgreement),
  },
  {
    id: 'leaf-other-usage',
    rule: 'X509-10',
    says: 'The key may do nothing else.',
    holds: ({ keyUsage }) =>
      keyUsage === undefined ||
      !(
        keyUsage.contentCommitment ||
        keyUsage.dataEncipherment ||
        keyUsage.encipherOnly ||
        keyUsage.decipherOnly
      ),
  },
  {
    id: 'leaf-client-and-server',
    rule: 'X509-12',
    says: 'The extended key usages are server and client authentication.',
    holds: ({ extendedKeyUsage }) =>
      extendedKeyUsage?.includes(OID.serverAuth) === true &&
      extendedKeyUsage.includes(OID.clientAuth),
  },
  {
    id: 'leaf-extended-usage-only',
    rule: 'X509-12',
    says: 'There are two extended key usages at most.',
    holds: ({ extendedKeyUsage }) => (extendedKeyUsage?.length ?? 0) <= 2,
  },
  {
    id: 'leaf-extended-usage-uncritical',
    rule: 'X509-12',
    says: 'Extended key usage is not critical, which some clients do not know.',
    holds: (certificate) =>
      certificate.extendedKeyUsage === undefined || isUncritical(certificate, OID.extendedKeyUsage),
  },
  {
    id: 'leaf-authority-key-id',
    rule: 'X509-27, RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is that of the authority, and names it in no other way.',
    holds: (certificate, { issuer }) => namesIssuerKey(certificate, issuer.keyId),
  },
  {
    id: 'leaf-authority-key-id-uncritical',
    rule: 'RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is not critical.',
    holds: (certificate) =>
      certificate.authorityKeyId === undefined || isUncritical(certificate, OID.authorityKeyId),
  },
  {
    id: 'leaf-crl-points',
    rule: 'RFC 5280 §4.2.1.13',
    says: 'CRL distribution points are those of the configuration, and not critical.',
    holds(certificate, { issuer }) {
      const points = extensionOf(certificate, OID.crlDistributionPoints);
      if (points === undefined || issuer.crlPoints === undefined) return true;
      return !points.critical && equalBytes(points.value, issuer.crlPoints);
    },
  },
  {
    id: 'leaf-extensions',
    rule: 'RFC 5280 §4.2',
    says: 'The extensions are those of the profile and no others; CRL distribution points where configured.',
    holds: (certificate, { issuer }) =>
      hasExactly(
        certificate,
        issuer.crlPoints === undefined
          ? LEAF_EXTENSIONS
          : [...LEAF_EXTENSIONS, OID.crlDistributionPoints],
      ),
  },
];

function uris({ subjectAltName }: Certificate): readonly string[] {
  return (subjectAltName?.names ?? []).flatMap((name) => (name.kind === 'uri' ? [name.text] : []));
}

function hasPath(uri: string): boolean {
  const id = parseSpiffeId(uri);
  return id.ok && id.value.path !== '';
}

function hasGrantedNames({ subjectAltName }: Certificate, { dnsNames }: LeafExpectation): boolean {
  const others = (subjectAltName?.names ?? []).filter(({ kind }) => kind !== 'uri');
  return (
    others.length === dnsNames.length &&
    others.every((name, index) => name.kind === 'dns' && name.text === dnsNames[index])
  );
}

/**
 * The subject of SPIRE's leaves, put together here once more: the builder's own idea of it would agree
 * with whatever the builder wrote. Databases take the common name for the client's name.
 */
function expectedSubject([first = '']: readonly string[]): Uint8Array {
  const commonName = first.length > MAX_COMMON_NAME ? '' : first;
  return derName({ country: 'US', organization: 'SPIRE', commonName });
}
