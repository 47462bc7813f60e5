import { equalBytes } from '../base/bytes.ts';
import type { Crl } from '../x509/crl.ts';
import type { LintName } from './lint.ts';

/** What a CRL must say that is about to be signed. */
export interface CrlExpectation {
  /** Subject Name DER of the signer's certificate. */
  readonly issuerDer: Uint8Array;
  /** Key identifier of the signer. */
  readonly keyId: Uint8Array;
  /** SubjectPublicKeyInfo DER of the key that will sign. */
  readonly spki: Uint8Array;
  /** AlgorithmIdentifier DER of its signatures. */
  readonly signatureAlgorithm: Uint8Array;
  /** End of the signer's certificate. */
  readonly notAfterMs: number;
  readonly nowMs: number;
  readonly number: bigint;
  /** Certificates that are to be in it. */
  readonly size: number;
}

/** One rule for a CRL, judged on what the strict reader read. */
interface CrlLint extends LintName {
  readonly holds: (crl: Crl, expected: CrlExpectation) => boolean;
}

/** Every rule for CRLs of ours; what RFC 5280 §5 says of their form the strict reader upholds. */
export const CRL_LINTS: readonly CrlLint[] = [
  {
    id: 'crl-issuer',
    rule: 'RFC 5280 §5.1.2.3, §5.2.1',
    says: 'Name and key identifier are those of the signer.',
    holds: (crl, { issuerDer, keyId }) =>
      equalBytes(crl.issuerDer, issuerDer) && equalBytes(crl.authorityKeyId, keyId),
  },
  {
    id: 'crl-times',
    rule: 'RFC 5280 §5.1.2.4, §5.1.2.5',
    says: 'It is in force now, and ends with the certificate of its signer at the latest.',
    holds: (crl, { nowMs, notAfterMs }) =>
      crl.thisUpdateMs <= nowMs && crl.nextUpdateMs > nowMs && crl.nextUpdateMs <= notAfterMs,
  },
  {
    id: 'crl-number',
    rule: 'RFC 5280 §5.2.3',
    says: 'The number is the one that was planned.',
    holds: (crl, { number }) => crl.number === number,
  },
  {
    id: 'crl-indirect',
    rule: 'RFC 5280 §5.2.5',
    says: 'It is indirect, and about leaves and authorities alike.',
    holds: ({ indirect, scope }) => indirect && scope === 'all',
  },
  {
    id: 'crl-entries',
    rule: 'RFC 5280 §5.3',
    says: 'It lists as many certificates as are revoked.',
    holds: (crl, { size }) => crl.size === size,
  },
];
