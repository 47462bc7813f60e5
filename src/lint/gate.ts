import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseJwtSvidUnverified } from '../spiffe/jwt-svid.ts';
import type { JwtSvidClaims } from '../spiffe/jwt-svid-encoding.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { parseCrl } from '../x509/crl.ts';
import { parseCsr } from '../x509/csr.ts';
import { assembleCsr } from '../x509/csr-builder.ts';
import { assembleCertificate } from '../x509/template.ts';
import { CA_LINTS, type CaExpectation } from './ca-lints.ts';
import type { CertificateExpectation } from './certificate-lints.ts';
import { CRL_LINTS, type CrlExpectation } from './crl-lints.ts';
import { CRL_SIGNER_LINTS } from './crl-signer-lints.ts';
import { ENROLMENT_LINTS, type EnrolmentExpectation } from './enrolment-lints.ts';
import { LEAF_LINTS, type LeafExpectation } from './leaf-lints.ts';
import { brokenLints, DER_LINT, type Lint, READER_LINTS, refuseByLint } from './lint.ts';

/**
 * Proof that a body was linted, good for one signature by one key. Only the functions of this module
 * make one, and a `LintedKey` takes nothing else: what was not linted cannot be signed.
 */
class LintToken {
  #body: Uint8Array | undefined;
  readonly #signerSpki: Uint8Array;

  constructor(body: Uint8Array, signerSpki: Uint8Array) {
    this.#body = body;
    this.#signerSpki = signerSpki;
  }

  /** Whether it was made for this key. */
  isFor(spki: Uint8Array): boolean {
    return equalBytes(this.#signerSpki, spki);
  }

  /** Gives out the body and forgets it. */
  take(): Uint8Array | undefined {
    const body = this.#body;
    this.#body = undefined;
    return body;
  }
}

export type { LintToken };

/**
 * The body that a token stands for, once: the second time is LINT_TOKEN_USED. For another key than it
 * was made for it is LINT_TOKEN_KEY, and used up as well.
 */
export function redeem(token: LintToken, signerSpki: Uint8Array): Result<Uint8Array> {
  const body = token.take();
  if (body === undefined) {
    return fail('LINT_TOKEN_USED', 'a lint token is good for one signature');
  }
  return token.isFor(signerSpki)
    ? ok(body)
    : fail('LINT_TOKEN_KEY', 'a lint token was made for another key than it was presented to');
}

/** Stands where the signature will be, so that the strict reader can read a body before it is signed. */
const NO_SIGNATURE = new Uint8Array(64);

/**
 * Lints the TBSCertificate of a leaf on what the strict reader reads back from its bytes: the rules
 * for X509-SVIDs and of RFC 5280, and that it says what was asked for and nothing else. Errors:
 * LINT_REFUSED with the lints that are broken.
 */
export function lintLeaf(tbs: Uint8Array, expected: LeafExpectation): Result<LintToken> {
  return lintCertificate(tbs, LEAF_LINTS, expected);
}

/** The same for the certificate of one of our authorities, self-signed or below another. */
export function lintCa(tbs: Uint8Array, expected: CaExpectation): Result<LintToken> {
  return lintCertificate(tbs, CA_LINTS, expected);
}

/** The same for the certificate of a CRL signer. */
export function lintCrlSigner(
  tbs: Uint8Array,
  expected: CertificateExpectation,
): Result<LintToken> {
  return lintCertificate(tbs, CRL_SIGNER_LINTS, expected);
}

/** The same for the enrolment root, and for a vendor's CA below it. */
export function lintEnrolmentCa(
  tbs: Uint8Array,
  expected: EnrolmentExpectation,
): Result<LintToken> {
  return lintCertificate(tbs, ENROLMENT_LINTS, expected);
}

/** The same for a CRL. */
export function lintCrl(tbs: Uint8Array, expected: CrlExpectation): Result<LintToken> {
  const { signatureAlgorithm, spki } = expected;
  const read = parseCrl(assembleCertificate(tbs, signatureAlgorithm, NO_SIGNATURE));
  if (!read.ok) return refuseByLint('CRL', [DER_LINT], read);
  const broken = CRL_LINTS.filter((lint) => !lint.holds(read.value, expected));
  if (broken.length > 0) return refuseByLint('CRL', broken);
  return ok(new LintToken(read.value.tbs, spki));
}

function lintCertificate<Expected extends CertificateExpectation>(
  tbs: Uint8Array,
  lints: readonly Lint<Expected>[],
  expected: Expected,
): Result<LintToken> {
  const { signatureAlgorithm, spki } = expected.issuer;
  const read = parseCertificate(assembleCertificate(tbs, signatureAlgorithm, NO_SIGNATURE));
  if (!read.ok) {
    return refuseByLint('certificate', [READER_LINTS[read.error.code] ?? DER_LINT], read);
  }
  const broken = brokenLints(lints, read.value, expected);
  if (broken.length > 0) return refuseByLint('certificate', broken);
  // The reader copied the bytes: what it read is what will be signed.
  return ok(new LintToken(read.value.tbs, spki));
}

/** What a request to an upstream authority must say, all of it. */
export interface CaRequestExpectation {
  readonly trustDomain: TrustDomain;
  /** Name DER. */
  readonly subjectDer: Uint8Array;
  /** SubjectPublicKeyInfo DER of the key that it is for and signed by. */
  readonly spki: Uint8Array;
  /** AlgorithmIdentifier DER of that signature. */
  readonly signatureAlgorithm: Uint8Array;
}

/**
 * Lints the signed part of a request for a CA certificate: it is for the very key that signs it, and
 * asks for the SPIFFE ID of the trust domain and for no other name (X509-16). Errors: LINT_REFUSED.
 */
export function lintCaRequest(info: Uint8Array, expected: CaRequestExpectation): Result<LintToken> {
  const read = parseCsr(assembleCsr(info, expected.signatureAlgorithm, NO_SIGNATURE));
  if (!read.ok) return refuseByLint('request', [DER_LINT], read);
  const { subjectDer, publicKey, requestedUris, requestedDnsNames } = read.value;
  const same =
    equalBytes(subjectDer, expected.subjectDer) &&
    equalBytes(publicKey.spki, expected.spki) &&
    requestedUris.length === 1 &&
    requestedUris[0] === expected.trustDomain.id &&
    requestedDnsNames.length === 0;
  return same
    ? ok(new LintToken(read.value.info, expected.spki))
    : refuseByLint('request', [REQUEST_LINT]);
}

/** The rule for requests of ours to an authority above. */
export const REQUEST_LINT = {
  id: 'request-contents',
  rule: 'X509-16, RFC 2986 §4',
  says: 'It asks for its own key and the SPIFFE ID of the trust domain, and for nothing else.',
} as const;

/** The key that a token of ours is to be signed by. */
export interface JwtLintSigner {
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** The encoded header of all its tokens: names algorithm and key. */
  readonly header: string;
}

/** Three zero bytes in base64url: stands where the signature of a token will be. */
const NO_JWS_SIGNATURE = '.AAAA';

/**
 * Lints the signing input of a JWT-SVID on what the validator's reader reads back (JWT-SVID §2, §3).
 * Errors: LINT_REFUSED.
 */
export function lintJwt(
  input: string,
  expected: JwtSvidClaims,
  signer: JwtLintSigner,
): Result<LintToken> {
  const read = parseJwtSvidUnverified(input + NO_JWS_SIGNATURE);
  if (!read.ok) return refuseByLint('token', [JWT_LINTS.form], read);
  if (!input.startsWith(`${signer.header}.`)) return refuseByLint('token', [JWT_LINTS.header]);
  const svid = read.value;
  const claims = 4 + Number(expected.issuer !== undefined) + Number(expected.jwtId !== undefined);
  const same =
    svid.id.uri === expected.id.uri &&
    svid.audience.length === expected.audience.length &&
    svid.audience.every((name, index) => name === expected.audience[index]) &&
    svid.issuedAtSeconds === expected.issuedAtSeconds &&
    svid.expiresAtSeconds === expected.expiresAtSeconds &&
    svid.expiresAtSeconds > expected.issuedAtSeconds &&
    svid.claims.get('iss') === expected.issuer &&
    svid.claims.get('jti') === expected.jwtId &&
    svid.claims.size === claims;
  return same
    ? ok(new LintToken(Buffer.from(input, 'latin1'), signer.spki))
    : refuseByLint('token', [JWT_LINTS.claims]);
}

/** Rules for tokens. */
export const JWT_LINTS = {
  form: { id: 'jwt-form', rule: 'JWT-SVID §2, §3', says: 'A validator reads it as a JWT-SVID.' },
  header: { id: 'jwt-header', rule: 'JWT-SVID §2', says: 'It names the algorithm and the key.' },
  claims: { id: 'jwt-claims', rule: 'JWT-SVID §3', says: 'The claims are those asked for.' },
} as const;
