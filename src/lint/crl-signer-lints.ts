import { equalBytes } from '../base/bytes.ts';
import { OID } from '../x509/oids.ts';
import {
  CERTIFICATE_LINTS,
  type CertificateExpectation,
  hasExactly,
  namesIssuerKey,
} from './certificate-lints.ts';
import type { Lint } from './lint.ts';

/** Every rule for the certificate of a CRL signer. */
export const CRL_SIGNER_LINTS: readonly Lint<CertificateExpectation>[] = [
  ...CERTIFICATE_LINTS,
  {
    id: 'crl-signer-usage',
    rule: 'RFC 5280 §4.2.1.3',
    says: 'The key may sign CRLs and do nothing else.',
    holds: ({ keyUsage }) => {
      if (keyUsage === undefined) return true;
      const { critical: _, crlSign, ...others } = keyUsage;
      return crlSign && Object.values(others).every((allowed) => !allowed);
    },
  },
  {
    id: 'crl-signer-extensions',
    rule: 'RFC 5280 §4.2.1.6',
    says: 'It has no alternative name, so that it is no SVID, and nothing else beside.',
    holds: (certificate) =>
      hasExactly(certificate, [
        OID.keyUsage,
        OID.basicConstraints,
        OID.subjectKeyId,
        OID.authorityKeyId,
      ]),
  },
  {
    id: 'crl-signer-no-ca',
    rule: 'RFC 5280 §4.2.1.9',
    says: 'It is no CA.',
    holds: ({ basicConstraints }) => basicConstraints?.ca !== true,
  },
  {
    id: 'crl-signer-issuer',
    rule: 'RFC 5280 §4.2.1.1',
    says: 'The authority key identifier is that of the root.',
    holds: (certificate, { issuer }) => namesIssuerKey(certificate, issuer.keyId),
  },
  {
    id: 'crl-signer-name',
    rule: 'RFC 5280 §3.2, §5.1.2.3',
    says: 'The subject is the name of the root: the key is another key of the same authority.',
    holds: ({ subjectDer }, { issuer }) => equalBytes(subjectDer, issuer.subjectDer),
  },
];
