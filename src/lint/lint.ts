import type { ErrorCode } from '../base/errors.ts';
import { type Failed, fail } from '../base/result.ts';
import type { Certificate } from '../x509/types.ts';

/** A rule and its name. */
export interface LintName {
  /** Unique among all lints, stable: what refusals, logs and tests name. */
  readonly id: string;
  /** Where the rule stands: `X509-n` of the conformance table, or a section of a standard. */
  readonly rule: string;
  /** What holds for every certificate that is signed. */
  readonly says: string;
}

/** One rule for a certificate that is about to be signed, judged on what the strict reader read. */
export interface Lint<Expected> extends LintName {
  readonly holds: (certificate: Certificate, expected: Expected) => boolean;
}

/** The first lint that a certificate breaks comes first; empty where it keeps them all. */
export function brokenLints<Expected>(
  lints: readonly Lint<Expected>[],
  certificate: Certificate,
  expected: Expected,
): readonly Lint<Expected>[] {
  if (lints.every((lint) => lint.holds(certificate, expected))) return [];
  return lints.filter((lint) => !lint.holds(certificate, expected));
}

/**
 * Rules that the strict reader upholds, by the code it refuses with: what breaks them is never read.
 * Every other code of the reader is {@link DER_LINT}.
 */
export const READER_LINTS: Partial<Readonly<Record<ErrorCode, LintName>>> = {
  CERTIFICATE_VERSION: {
    id: 'version-3',
    rule: 'RFC 5280 §4.1.2.1',
    says: 'The version is 3.',
  },
  CERTIFICATE_SERIAL: {
    id: 'serial-form',
    rule: 'X509-27, RFC 5280 §4.1.2.2',
    says: 'The serial number is above zero and has at most 20 octets.',
  },
  CERTIFICATE_ALGORITHM_MISMATCH: {
    id: 'algorithm',
    rule: 'RFC 5280 §4.1.1.2, §4.1.2.3',
    says: 'The algorithm inside the signed part is the one outside: that of the key that will sign.',
  },
  CERTIFICATE_VALIDITY: {
    id: 'validity-order',
    rule: 'RFC 5280 §4.1.2.5',
    says: 'notBefore does not lie after notAfter.',
  },
  DER_TIME: {
    id: 'validity-form',
    rule: 'RFC 5280 §4.1.2.5',
    says: 'Times are UTCTime before 2050 and GeneralizedTime from then on, in whole seconds, in Z.',
  },
  CERTIFICATE_NAME: {
    id: 'name-form',
    rule: 'RFC 5280 §4.1.2.4, §4.2.1.6',
    says: 'Names are well-formed; what is IA5 text holds printable ASCII only.',
  },
  CERTIFICATE_EXTENSION: {
    id: 'extension-form',
    rule: 'RFC 5280 §4.2.1',
    says: 'Values of extensions have the form of their standard.',
  },
  CERTIFICATE_EXTENSION_TWICE: {
    id: 'extension-once',
    rule: 'RFC 5280 §4.2',
    says: 'No extension stands twice.',
  },
  PUBLIC_KEY_PARAMETERS: {
    id: 'key-parameters',
    rule: 'RFC 5480 §2.1.1',
    says: 'The curve of a key is given by its name.',
  },
  PUBLIC_KEY_POINT: {
    id: 'key-point',
    rule: 'RFC 5480 §2.2',
    says: 'The point of a key is uncompressed and as long as its curve has it.',
  },
};

/** What is left over for the reader: the encoding itself. */
export const DER_LINT: LintName = {
  id: 'der',
  rule: 'X.690 §10, §11',
  says: 'The encoding is DER and holds nothing that is not in the definition.',
};

/** Refuses to sign, by the name of what is broken. */
export function refuseByLint(
  what: 'certificate' | 'token' | 'request' | 'CRL',
  broken: readonly LintName[],
  cause?: Failed,
): Failed {
  const names = broken.map(({ id, rule }) => `${id} (${rule})`).join(', ');
  const why = cause === undefined ? '' : `: ${cause.error.message}`;
  return fail('LINT_REFUSED', `the ${what} is refused by lint ${names}${why}`, {
    cause: cause?.error,
    details: { lints: broken.map(({ id }) => id).join(' ') },
  });
}
