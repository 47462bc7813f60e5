import { ok, type Result } from '../base/result.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Certificate } from '../x509/types.ts';
import { CA_LINTS, type CaExpectation } from './ca-lints.ts';
import { brokenLints, type Lint, refuseByLint } from './lint.ts';

/** What of a CA certificate is known that somebody else made for us. */
export type ForeignCaExpectation = Pick<CaExpectation, 'trustDomain' | 'keyId'>;

/** Lints that do not ask for what only the maker of a certificate can know. */
const JUDGED: readonly string[] = [
  'key-kind',
  'no-unique-ids',
  'key-usage',
  'key-usage-critical',
  'basic-constraints',
  'basic-constraints-critical',
  'ca-flag',
  'ca-no-leaf-usage',
  'ca-spiffe-id',
  'ca-no-extended-usage',
];

const FOREIGN_CA_LINTS = CA_LINTS.filter(({ id }) => JUDGED.includes(id));

/** Leaves name their issuer by its key identifier; key usage and names are what verifiers look at. */
const OWN_LINTS: readonly Lint<ForeignCaExpectation>[] = [
  {
    id: 'foreign-ca-signs',
    rule: 'X509-13',
    says: 'The key may sign certificates.',
    holds: ({ keyUsage, basicConstraints }) =>
      keyUsage?.keyCertSign === true && basicConstraints?.ca === true,
  },
];

/**
 * Lints a CA certificate that an upstream authority made for a key of ours, before that key signs
 * anything. Errors: LINT_REFUSED with the lints that are broken.
 */
export function lintForeignCa(
  certificate: Certificate,
  { trustDomain, keyId }: { readonly trustDomain: TrustDomain; readonly keyId: Uint8Array },
): Result<void> {
  const { serial, publicKey, notBeforeMs, notAfterMs, issuerDer, signatureAlgorithm } = certificate;
  const said = { notBeforeMs, notAfterMs, spki: publicKey.spki };
  const expected: CaExpectation = {
    ...said,
    trustDomain,
    keyId,
    serial,
    // The lints that look at these are not among those judged.
    subject: {},
    selfSigned: false,
    pathLength: undefined,
    nameConstraints: undefined,
    issuer: { ...said, subjectDer: issuerDer, keyId, signatureAlgorithm },
  };
  const broken = [
    ...brokenLints(FOREIGN_CA_LINTS, certificate, expected),
    ...brokenLints(OWN_LINTS, certificate, expected),
  ];
  return broken.length === 0 ? ok(undefined) : refuseByLint('certificate', broken);
}
