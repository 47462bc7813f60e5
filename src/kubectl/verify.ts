import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { span } from '../cli/text.ts';
import { type Bundle, emptyBundle } from '../spiffe/bundle.ts';
import { parseJwtSvidUnverified, validateJwtSvid } from '../spiffe/jwt-svid.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/trust-domain.ts';
import { checkLeafProfile, checkSignerId } from '../spiffe/x509-profile.ts';
import { validatePath } from '../x509/path.ts';
import type { RevocationCheck } from '../x509/revocation.ts';
import type { Certificate } from '../x509/types.ts';
import type { BundleContent } from './model.ts';
import { nameText } from './name-text.ts';

/** One thing that was looked at, and how it came out. */
export interface Check {
  readonly name: string;
  readonly result: 'Valid' | 'Invalid' | 'Skipped';
  /** What was found, or why it does not hold. */
  readonly why: string;
  /** Code of the refusal; undefined where it holds. */
  readonly code: string | undefined;
}

/** What a document is held against. */
export interface VerifyOptions {
  readonly nowMs: number;
  /** The bundle of the trust domain; what it holds where undefined is that there is none. */
  readonly bundle: (trustDomain: string) => BundleContent | undefined;
  readonly trustDomain: string | undefined;
  readonly revocation: ((roots: readonly Certificate[]) => Result<RevocationCheck>) | undefined;
}

const valid = (name: string, why: string): Check => ({
  name,
  result: 'Valid',
  why,
  code: undefined,
});
const invalid = (name: string, { code, message: why }: SignetError): Check => ({
  name,
  result: 'Invalid',
  why,
  code,
});
const skipped = (name: string, why: string): Check => ({
  name,
  result: 'Skipped',
  why,
  code: undefined,
});

/**
 * Holds a chain against a bundle: the profile of the leaf (X509-SVID §5.2), the trust domain, a path to one
 * of its authorities (RFC 5280 §6), the life that is left, revocation. Every check is made and told.
 */
export function verifyChain(
  chain: readonly Certificate[],
  options: VerifyOptions,
): readonly Check[] {
  const { nowMs, trustDomain } = options;
  const [leaf] = chain;
  if (leaf === undefined) return [];
  const id = checkLeafProfile(leaf);
  const profile = id.ok ? valid('SPIFFE ID', id.value.uri) : invalid('SPIFFE ID', id.error);
  const name = id.ok ? id.value.trustDomain.name : trustDomain;
  if (name === undefined) {
    return [
      profile,
      skipped('trust domain', 'the certificate names none; say --trust-domain'),
      lifeOf(leaf, nowMs),
    ];
  }
  return [
    profile,
    domainCheck(name, options),
    ...pathChecks(chain, name, options),
    lifeOf(leaf, nowMs),
  ];
}

function domainCheck(name: string, { bundle, trustDomain }: VerifyOptions): Check {
  if (trustDomain !== undefined && trustDomain !== name) {
    const refused = fail('X509_SVID_TRUST_DOMAIN', `it is of ${name}, not of ${trustDomain}`);
    return invalid('trust domain', refused.error);
  }
  const held = bundle(name);
  if (held === undefined || held.x509.length + held.jwt.length === 0) {
    const refused = fail('X509_SVID_TRUST_DOMAIN', `there is no bundle of ${name}`);
    return invalid('trust domain', refused.error);
  }
  return valid('trust domain', name);
}

function pathChecks(
  chain: readonly Certificate[],
  name: string,
  { nowMs, bundle, revocation }: VerifyOptions,
): readonly Check[] {
  const roots = bundle(name)?.x509.map(({ certificate }) => certificate) ?? [];
  if (roots.length === 0) return [skipped('path', 'there is no authority to lead to')];
  const found = validatePath({ chain, roots, atMs: nowMs });
  if (!found.ok) return [invalid('path', found.error)];
  const { path, root } = found.value;
  const signer = path
    .slice(1)
    .map(checkSignerId)
    .find((checked) => !checked.ok);
  const length = `${path.length} certificates to ${nameText(root.subjectDer)}`;
  return [
    signer === undefined || signer.ok ? valid('path', length) : invalid('path', signer.error),
    revocation === undefined
      ? skipped('revocation', 'no CRL is given (--crl)')
      : revocationCheck(chain, roots, nowMs, revocation),
  ];
}

function revocationCheck(
  chain: readonly Certificate[],
  roots: readonly Certificate[],
  nowMs: number,
  make: (roots: readonly Certificate[]) => Result<RevocationCheck>,
): Check {
  const check = make(roots);
  if (!check.ok) return invalid('revocation', check.error);
  const found = validatePath({ chain, roots, atMs: nowMs, revocation: check.value });
  return found.ok ? valid('revocation', 'not revoked') : invalid('revocation', found.error);
}

function lifeOf({ notBeforeMs, notAfterMs }: Certificate, nowMs: number): Check {
  const left = Math.floor((notAfterMs - nowMs) / 1000);
  const of = Math.floor((notAfterMs - notBeforeMs) / 1000);
  if (nowMs < notBeforeMs) {
    const wait = span(Math.ceil((notBeforeMs - nowMs) / 1000));
    return invalid('life', fail('PATH_NOT_YET_VALID', `it begins in ${wait}`).error);
  }
  if (left < 0) return invalid('life', fail('PATH_EXPIRED', `it ended ${span(-left)} ago`).error);
  return valid('life', `${span(left)} left of ${span(of)}`);
}

/** Holds a JWT-SVID against a bundle (JWT-SVID §4). */
export function verifyToken(
  token: string,
  audience: string | undefined,
  { nowMs, bundle, trustDomain }: VerifyOptions,
): readonly Check[] {
  const svid = parseJwtSvidUnverified(token);
  if (!svid.ok) return [invalid('token', svid.error)];
  const { id } = svid.value;
  const domain = domainCheck(id.trustDomain.name, {
    nowMs,
    bundle,
    trustDomain,
    revocation: undefined,
  });
  const expected = audience ?? svid.value.audience[0] ?? '';
  const held = validateJwtSvid({
    token,
    audience: expected,
    atMs: nowMs,
    bundles: (of) => bundleFor(of, bundle(of.name)),
  });
  const left = Math.floor(svid.value.expiresAtSeconds - nowMs / 1000);
  return [
    valid('SPIFFE ID', id.uri),
    domain,
    held.ok
      ? valid('signature, time', left > 0 ? `${span(left)} left` : 'now')
      : invalid('signature, time', held.error),
    audience === undefined
      ? skipped('audience', `${svid.value.audience.join(', ')}; say --audience to check it`)
      : held.ok
        ? valid('audience', audience)
        : skipped('audience', 'see above'),
  ];
}

function bundleFor(of: TrustDomain, content: BundleContent | undefined): Bundle | undefined {
  if (content === undefined) return undefined;
  return {
    ...emptyBundle(of),
    jwtAuthorities: content.jwt.map(({ keyId, spki, tainted }) => ({
      keyId,
      publicKeySpki: spki,
      expiresAtSeconds: 0,
      tainted,
    })),
  };
}

/** The name of a trust domain that a flag gives. Fails with TRUST_DOMAIN_*. */
export function trustDomainName(text: string | undefined): Result<string | undefined> {
  if (text === undefined) return ok(undefined);
  const parsed = parseTrustDomain(text);
  return parsed.ok ? ok(parsed.value.name) : parsed;
}
