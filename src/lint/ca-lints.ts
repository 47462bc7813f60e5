import { equalBytes } from '../base/bytes.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import { derName } from '../x509/name-writer.ts';
import { OID } from '../x509/oids.ts';
import { serialToDecimal } from '../x509/serial.ts';
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

/** What a CA certificate must say, all of it. */
export interface CaExpectation extends CertificateExpectation {
  readonly trustDomain: TrustDomain;
  /** Without the serial number that ends it. */
  readonly subject: CaSubject;
  /** Whether it signs itself. */
  readonly selfSigned: boolean;
  /** Intermediates that may follow; undefined for any number. */
  readonly pathLength: number | undefined;
  /** Value DER of the name constraints; undefined for none. */
  readonly nameConstraints: Uint8Array | undefined;
}

/** Every rule for certificates of our own authorities: roots, and issuing CAs below them. */
export const CA_LINTS: readonly Lint<CaExpectation>[] = [
  ...CERTIFICATE_LINTS,
  {
    id: 'ca-flag',
    rule: 'X509-13',
    says: 'It is a CA.',
    holds: ({ basicConstraints }) => basicConstraints?.ca !== false,
  },
  {
    id: 'ca-path-length',
    rule: 'X509-15, RFC 5280 §4.2.1.9',
    says: 'As many intermediates may follow as were planned.',
    holds: ({ basicConstraints }, { pathLength }) =>
      basicConstraints === undefined || basicConstraints.pathLength === pathLength,
  },
  {
    id: 'ca-signs-certificates',
    rule: 'X509-13, X509-14',
    says: 'The key may sign certificates and CRLs.',
    holds: ({ keyUsage }) => keyUsage === undefined || (keyUsage.keyCertSign && keyUsage.crlSign),
  },
  {
    id: 'ca-no-leaf-usage',
    rule: 'X509-14',
    says: 'The key may do nothing that leaves do.',
    holds: ({ keyUsage }) =>
      keyUsage === undefined ||
      !(
        keyUsage.digitalSignature ||
        keyUsage.contentCommitment ||
        keyUsage.keyEncipherment ||
        keyUsage.dataEncipherment ||
        keyUsage.keyAgreement ||
        keyUsage.encipherOnly ||
        keyUsage.decipherOnly
      ),
  },
  {
    id: 'ca-spiffe-id',
    rule: 'X509-16',
    says: 'The one alternative name is the SPIFFE ID of the trust domain.',
    holds: ({ subjectAltName }, { trustDomain }) => {
      const [name, ...others] = subjectAltName?.names ?? [];
      return name?.kind === 'uri' && name.text === trustDomain.id && others.length === 0;
    },
  },
  {
    id: 'ca-names-uncritical',
    rule: 'RFC 5280 §4.2.1.6',
    says: 'The alternative names are not critical, since there is a subject.',
    holds: ({ subjectAltName }) => subjectAltName?.critical !== true,
  },
  {
    id: 'ca-subject',
    rule: 'RFC 5280 §4.1.2.6',
    says: 'The subject is the configured one and ends with the serial number: no two are alike.',
    holds: ({ subjectDer }, { subject, serial }) =>
      equalBytes(subjectDer, derName({ ...subject, serialNumber: serialToDecimal(serial) })),
  },
  {
    id: 'ca-authority-key-id',
    rule: 'X509-27, RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is that of the issuer; who signs itself has none.',
    holds: (certificate, { selfSigned, issuer }) =>
      selfSigned
        ? extensionOf(certificate, OID.authorityKeyId) === undefined
        : namesIssuerKey(certificate, issuer.keyId),
  },
  {
    id: 'ca-authority-key-id-uncritical',
    rule: 'RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is not critical.',
    holds: (certificate) =>
      certificate.authorityKeyId === undefined || isUncritical(certificate, OID.authorityKeyId),
  },
  {
    id: 'ca-name-constraints',
    rule: 'X509-18, RFC 5280 §4.2.1.10',
    says: 'Name constraints are those that were planned, and critical.',
    holds: hasPlannedConstraints,
  },
  {
    id: 'ca-no-extended-usage',
    rule: 'X509-19',
    says: 'There is no extended key usage, since verifiers differ on what it means in a CA.',
    holds: ({ extendedKeyUsage }) => extendedKeyUsage === undefined,
  },
  {
    id: 'ca-extensions',
    rule: 'RFC 5280 §4.2',
    says: 'The extensions are those of the profile and no others.',
    holds: (certificate, { selfSigned, nameConstraints }) =>
      hasExactly(certificate, [
        ...CA_EXTENSIONS,
        ...(selfSigned ? [] : [OID.authorityKeyId]),
        ...(nameConstraints === undefined ? [] : [OID.nameConstraints]),
      ]),
  },
];

const CA_EXTENSIONS: readonly string[] = [
  OID.keyUsage,
  OID.basicConstraints,
  OID.subjectKeyId,
  OID.subjectAltName,
];

function hasPlannedConstraints(
  certificate: Certificate,
  { nameConstraints }: CaExpectation,
): boolean {
  const extension = extensionOf(certificate, OID.nameConstraints);
  if (nameConstraints === undefined || extension === undefined) {
    return nameConstraints === extension;
  }
  return extension.critical && equalBytes(extension.value, nameConstraints);
}
