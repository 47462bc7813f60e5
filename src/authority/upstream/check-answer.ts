import { equalBytes } from '../../base/bytes.ts';
import type { SignetError } from '../../base/errors.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { attempt } from '../../der/refuse.ts';
import { lintForeignCa } from '../../lint/foreign-ca.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { checkSignerId } from '../../spiffe/x509-profile.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { subjectKeyId } from '../../x509/key-id.ts';
import { checkNameConstraints } from '../../x509/name-constraints.ts';
import { validatePath } from '../../x509/path.ts';
import type { Certificate } from '../../x509/types.ts';
import type { UpstreamAnswer } from './upstream.ts';

/** What an answer is held against. */
export interface AnswerExpectation {
  readonly trustDomain: TrustDomain;
  /** SubjectPublicKeyInfo DER of the key that was to be certified. */
  readonly spki: Uint8Array;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** CAs that have to fit below the new one: 1 where an issuing CA signs leaves, else 0. */
  readonly casBelow: number;
}

/** A CA certificate from upstream that may be used. */
export interface CheckedAnswer {
  readonly certificate: Certificate;
  /** CAs between it and the root, nearest first; the root is not among them (X509-25). */
  readonly intermediates: readonly Certificate[];
  /** Roots to trust; the one that the path ends at comes first. */
  readonly roots: readonly [Certificate, ...Certificate[]];
  /** The earliest end in the whole path, in Unix milliseconds. */
  readonly notAfterMs: number;
}

/** Most certificates of each list that are looked at. */
const MAX_CERTIFICATES = 64;
/** A CA with less life than this would be renewed without end, in milliseconds. */
const MIN_LIFE_MS = 10_000;

/**
 * Judges what an upstream issued before anything is signed by it: it is for our key, names this trust
 * domain and nothing else, keeps the lints for CAs, and a path of certificates that are all valid now,
 * none of them idle, leads to one of the roots, with room for the CAs below. Errors:
 * UPSTREAM_ANSWER_INVALID with the reason.
 */
export function checkAnswer(
  answer: UpstreamAnswer,
  expected: AnswerExpectation,
): Result<CheckedAnswer> {
  const chain = parseAll(answer.chain, 'chain');
  if (!chain.ok) return chain;
  const roots = parseAll(answer.roots, 'roots');
  if (!roots.ok) return roots;
  const [certificate, ...presented] = chain.value;
  if (certificate === undefined) return invalid('the chain is empty');
  if (roots.value.length === 0) return invalid('there is no root');
  const own = checkOwn(certificate, expected);
  if (!own.ok) return own;
  const found = validatePath({ chain: chain.value, roots: roots.value, atMs: expected.nowMs });
  if (!found.ok) return invalid('no valid path leads to a root', found.error);
  const above = found.value.path.slice(1);
  const fits = checkAbove(above, presented, expected);
  if (!fits.ok) return fits;
  const notAfterMs = Math.min(...found.value.path.map((each) => each.notAfterMs));
  if (notAfterMs - expected.nowMs < MIN_LIFE_MS) return invalid('it ends within seconds');
  const { root } = found.value;
  const others = roots.value.filter((each) => !equalBytes(each.der, root.der));
  return ok({
    certificate,
    intermediates: above.slice(0, -1),
    roots: [root, ...others],
    notAfterMs,
  });
}

/** The new CA itself. */
function checkOwn(certificate: Certificate, expected: AnswerExpectation): Result<void> {
  const { trustDomain, spki, casBelow } = expected;
  if (!equalBytes(certificate.publicKey.spki, spki)) {
    return invalid('the first certificate is for another key than the one that was sent');
  }
  const keyId = subjectKeyId(certificate.publicKey);
  const linted = lintForeignCa(certificate, { trustDomain, keyId });
  if (!linted.ok) return invalid(linted.error.message, linted.error);
  // What constrains the new CA itself is no part of its own path: leaves have its trust domain as host.
  const constrained = attempt('name constraints', () =>
    checkNameConstraints([certificate, certificate]),
  );
  if (!constrained.ok) return invalid(constrained.error.message, constrained.error);
  const room = certificate.basicConstraints?.pathLength ?? Infinity;
  return room >= casBelow ? ok(undefined) : invalid(`its path length of ${room} is too short`);
}

/** The CAs above it, the root last. */
function checkAbove(
  above: readonly Certificate[],
  presented: readonly Certificate[],
  { trustDomain, casBelow }: AnswerExpectation,
): Result<void> {
  for (const [index, issuer] of above.entries()) {
    // The path validator takes the new CA for a leaf, so the room for what it signs is counted here.
    const room = issuer.basicConstraints?.pathLength ?? Infinity;
    if (room < index + 1 + casBelow) {
      return invalid(`the path length of ${room} above it leaves no room for it`);
    }
    const named = checkSignerId(issuer);
    if (!named.ok) return invalid(named.error.message, named.error);
    const foreign = (issuer.subjectAltName?.names ?? []).some(
      (name) => name.kind === 'uri' && /^spiffe:/i.test(name.text) && name.text !== trustDomain.id,
    );
    if (foreign) return invalid('a CA above it belongs to another trust domain');
  }
  const idle = presented.some((each) => !above.some(({ der }) => equalBytes(der, each.der)));
  return idle ? invalid('the chain has a certificate that leads nowhere') : ok(undefined);
}

function parseAll(ders: readonly Uint8Array[], what: string): Result<readonly Certificate[]> {
  if (ders.length > MAX_CERTIFICATES) return invalid(`${ders.length} certificates as ${what}`);
  const certificates: Certificate[] = [];
  for (const der of ders) {
    const parsed = parseCertificate(der);
    if (!parsed.ok) return invalid(`${what}: ${parsed.error.message}`, parsed.error);
    certificates.push(parsed.value);
  }
  return ok(certificates);
}

function invalid(why: string, cause?: SignetError): Failed {
  return fail('UPSTREAM_ANSWER_INVALID', `the CA from upstream is not used: ${why}`, { cause });
}
