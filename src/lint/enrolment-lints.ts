import { equalBytes } from '../base/bytes.ts';
import { NO_URI_NAMES } from '../x509/enrolment-template.ts';
import { OID } from '../x509/oids.ts';
import {
  CERTIFICATE_LINTS,
  type CertificateExpectation,
  extensionOf,
  hasExactly,
  namesIssuerKey,
} from './certificate-lints.ts';
import type { Lint } from './lint.ts';

/** What the certificate of the enrolment root, or of a vendor's CA below it, must say. */
export interface EnrolmentExpectation extends CertificateExpectation {
  /** Name DER. */
  readonly subjectDer: Uint8Array;
  /** Whether it signs itself. */
  readonly selfSigned: boolean;
}

/** Every rule for CAs that are outside of SPIFFE: the enrolment root, and vendors' CAs below it. */
export const ENROLMENT_LINTS: readonly Lint<EnrolmentExpectation>[] = [
  ...CERTIFICATE_LINTS,
  {
    id: 'enrolment-ca-flag',
    rule: 'RFC 5280 §4.2.1.9',
    says: 'It is a CA; one CA may follow the root, none a CA of a vendor.',
    holds: ({ basicConstraints }, { selfSigned }) =>
      basicConstraints?.ca === true && basicConstraints.pathLength === (selfSigned ? 1 : 0),
  },
  {
    id: 'enrolment-usage',
    rule: 'RFC 5280 §4.2.1.3',
    says: 'The key may sign certificates and CRLs and do nothing else.',
    holds: ({ keyUsage }) => {
      if (keyUsage === undefined) return true;
      const { critical: _, keyCertSign, crlSign, ...others } = keyUsage;
      return keyCertSign && crlSign && Object.values(others).every((allowed) => !allowed);
    },
  },
  {
    id: 'enrolment-no-names',
    rule: 'X509-16, X509-SVID §4',
    says: 'It has no alternative name, so that it is no authority of a trust domain.',
    holds: ({ subjectAltName }) => subjectAltName === undefined,
  },
  {
    id: 'enrolment-no-uris',
    rule: 'RFC 5280 §4.2.1.10',
    says: 'Critical name constraints leave no URI that would be valid below it.',
    holds: (certificate) => {
      const extension = extensionOf(certificate, OID.nameConstraints);
      return extension?.critical === true && equalBytes(extension.value, NO_URI_NAMES);
    },
  },
  {
    id: 'enrolment-subject',
    rule: 'RFC 5280 §4.1.2.6',
    says: 'The subject is the one that was planned.',
    holds: ({ subjectDer }, expected) => equalBytes(subjectDer, expected.subjectDer),
  },
  {
    id: 'enrolment-issuer',
    rule: 'RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is that of the root; the root has none.',
    holds: (certificate, { selfSigned, issuer }) =>
      selfSigned
        ? extensionOf(certificate, OID.authorityKeyId) === undefined
        : namesIssuerKey(certificate, issuer.keyId),
  },
  {
    id: 'enrolment-extensions',
    rule: 'RFC 5280 §4.2',
    says: 'The extensions are those of the profile and no others.',
    holds: (certificate, { selfSigned }) =>
      hasExactly(certificate, [
        OID.keyUsage,
        OID.basicConstraints,
        OID.subjectKeyId,
        OID.nameConstraints,
        ...(selfSigned ? [] : [OID.authorityKeyId]),
      ]),
  },
];
