import { equalBytes } from '../../base/bytes.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { parseJwtSvidUnverified } from '../../spiffe/jwt-svid.ts';
import type { JwtSvidClaims } from '../../spiffe/jwt-svid-encoding.ts';
import { checkIssuedLeaf, type ExpectedLeaf } from '../../spiffe/x509-profile.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { derName } from '../../x509/name-writer.ts';
import { assembleCertificate, MAX_COMMON_NAME } from '../../x509/template.ts';
import type { KeyUsage } from '../../x509/types.ts';

/**
 * Proof that a body was linted, good for one signature. Only the functions of this module make one,
 * and the functions that sign take nothing else: what was not linted cannot be signed.
 */
class LintToken {
  #body: Uint8Array | undefined;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  /** Gives out the body and forgets it. */
  take(): Uint8Array | undefined {
    const body = this.#body;
    this.#body = undefined;
    return body;
  }
}

export type { LintToken };

/** The body that a token stands for, once: the second time is LINT_TOKEN_USED. */
export function redeem(token: LintToken): Result<Uint8Array> {
  const body = token.take();
  return body === undefined
    ? fail('LINT_TOKEN_USED', 'a lint token is good for one signature')
    : ok(body);
}

/** What a leaf must say, all of it. */
export interface LeafExpectation extends ExpectedLeaf {
  /** Big-endian magnitude. */
  readonly serial: Uint8Array;
  readonly keyId: Uint8Array;
  /** AlgorithmIdentifier DER of the issuer's signatures. */
  readonly signatureAlgorithm: Uint8Array;
}

/** Stands where the signature will be, so that the strict reader can read a body before it is signed. */
const NO_SIGNATURE = new Uint8Array(64);

/**
 * Lints the TBSCertificate of a leaf on what the strict reader reads back from its bytes: the rules
 * for X509-SVIDs (§2–4), and that it says what was asked for and nothing else.
 */
export function lintLeaf(tbs: Uint8Array, expected: LeafExpectation): Result<LintToken> {
  const read = parseCertificate(
    assembleCertificate(tbs, expected.signatureAlgorithm, NO_SIGNATURE),
  );
  if (!read.ok) return refuseLint('certificate', read);
  const leaf = read.value;
  const profile = checkIssuedLeaf(leaf, expected);
  if (!profile.ok) return refuseLint('certificate', profile);
  if (!sameMagnitude(leaf.serial, expected.serial)) {
    return fail('LINT_REFUSED', 'certificate has another serial number than was drawn');
  }
  if (leaf.subjectKeyId === undefined || !equalBytes(leaf.subjectKeyId, expected.keyId)) {
    return fail('LINT_REFUSED', 'certificate has another subject key identifier');
  }
  if (!equalBytes(leaf.subjectDer, expectedSubject(expected.dnsNames))) {
    return fail('LINT_REFUSED', 'certificate has another subject than the profile');
  }
  if (!hasProfileUsage(leaf.keyUsage)) {
    return fail('LINT_REFUSED', 'certificate has other key usages than the profile');
  }
  // The reader copied the bytes: what it read is what will be signed.
  return ok(new LintToken(leaf.tbs));
}

/**
 * The subject of SPIRE's leaves, put together here once more: the builder's own idea of it would agree
 * with whatever the builder wrote. Databases take the common name for the client's name.
 */
function expectedSubject([first = '']: readonly string[]): Uint8Array {
  const commonName = first.length > MAX_COMMON_NAME ? '' : first;
  return derName({ country: 'US', organization: 'SPIRE', commonName });
}

/** X509-9, X509-10: the three usages of SPIRE's leaves; the profile check refused the CA's before. */
function hasProfileUsage(usage: KeyUsage | undefined): boolean {
  if (usage === undefined) return false;
  const wanted = usage.digitalSignature && usage.keyEncipherment && usage.keyAgreement;
  const others =
    usage.contentCommitment || usage.dataEncipherment || usage.encipherOnly || usage.decipherOnly;
  return wanted && !others;
}

/** Three zero bytes in base64url: stands where the signature of a token will be. */
const NO_JWS_SIGNATURE = '.AAAA';

/** Lints the signing input of a JWT-SVID on what the validator's reader reads back (JWT-SVID §2, §3). */
export function lintJwt(input: string, expected: JwtSvidClaims): Result<LintToken> {
  const read = parseJwtSvidUnverified(input + NO_JWS_SIGNATURE);
  if (!read.ok) return refuseLint('token', read);
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
    ? ok(new LintToken(Buffer.from(input, 'latin1')))
    : fail('LINT_REFUSED', 'token has other claims than asked');
}

function refuseLint(what: string, refusal: Failed): Failed {
  return fail('LINT_REFUSED', `${what} is refused by lint: ${refusal.error.message}`, {
    cause: refusal.error,
  });
}

/** Whether the contents of a DER INTEGER are this magnitude: a zero octet before a high bit aside. */
function sameMagnitude(integer: Uint8Array, magnitude: Uint8Array): boolean {
  return equalBytes(withoutZeros(integer), withoutZeros(magnitude)) && (integer[0] ?? 0x80) < 0x80;
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (bytes[start] === 0) start += 1;
  return bytes.subarray(start);
}
