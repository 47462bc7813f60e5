import { fail, ok, type Result } from '../base/result.ts';
import { safeLines } from '../cli/text.ts';
import { encodePem } from '../der/pem.ts';
import { emptyBundle } from '../spiffe/bundle.ts';
import { formatJwtBundle, formatSpiffeBundle } from '../spiffe/bundle-format.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { JudgedCopy } from './judge.ts';
import type { BundleContent, BundleCopy, X509Authority } from './model.ts';

/** Forms that others take a bundle in. */
export type ExportForm = 'pem' | 'spiffe' | 'jwks';

/**
 * The bundle that copies stand for: that of the reference, which is of one trust domain. Fails with
 * TRUST_AMBIGUOUS, TRUST_NOT_FOUND.
 */
export function exportText(judged: readonly JudgedCopy[], form: ExportForm): Result<string> {
  const chosen = chosenOf(judged);
  return chosen.ok ? textOf(chosen.value, chosen.value.domain, form) : chosen;
}

/** The X.509 authorities of that bundle. Fails with TRUST_AMBIGUOUS, TRUST_NOT_FOUND. */
export function exportedX509(judged: readonly JudgedCopy[]): Result<readonly X509Authority[]> {
  const chosen = chosenOf(judged);
  if (!chosen.ok) return chosen;
  const { x509, domain } = chosen.value;
  if (x509 !== undefined) return ok(x509.content.x509);
  return fail('TRUST_NOT_FOUND', `no copy of the bundle of ${domain} holds an authority`);
}

interface Chosen {
  readonly domain: string;
  readonly x509: BundleCopy | undefined;
  readonly jwt: BundleCopy | undefined;
}

function chosenOf(judged: readonly JudgedCopy[]): Result<Chosen> {
  const references = judged.filter(({ isReference }) => isReference);
  const domains = new Set(references.map(({ trustDomain }) => trustDomain));
  if (domains.size > 1) {
    const names = [...domains].map((name) => name ?? '-').join(', ');
    return fail('TRUST_AMBIGUOUS', `there are bundles of several trust domains: ${names}`);
  }
  const copies = references.map(({ copy }) => copy);
  const x509 = copies.find(({ content }) => content.x509.length > 0);
  const jwt = copies.find(({ content }) => content.jwt.length > 0);
  const [name] = domains;
  return ok({ x509, jwt, domain: name ?? 'unknown' });
}

function textOf(
  copies: { readonly x509: BundleCopy | undefined; readonly jwt: BundleCopy | undefined },
  domain: string,
  form: ExportForm,
): Result<string> {
  const x509 = copies.x509?.content.x509 ?? [];
  const jwt = copies.jwt?.content.jwt ?? [];
  if ((form === 'jwks' ? jwt : form === 'pem' ? x509 : [...x509, ...jwt]).length === 0) {
    const kind = form === 'jwks' ? 'JWT key' : 'authority';
    return fail('TRUST_NOT_FOUND', `no copy of the bundle of ${domain} holds a ${kind}`);
  }
  if (form === 'pem') return ok(pemOf(x509));
  const trustDomain = parseTrustDomain(domain);
  if (!trustDomain.ok) return trustDomain;
  const bundle = {
    ...emptyBundle(trustDomain.value),
    x509Authorities: x509,
    jwtAuthorities: jwt.map(({ keyId, spki, tainted }) => ({
      keyId,
      publicKeySpki: spki,
      expiresAtSeconds: 0,
      tainted,
    })),
    sequence: (copies.x509 ?? copies.jwt)?.sequence ?? 0n,
    refreshHintSeconds: (copies.jwt ?? copies.x509)?.content.refreshHintSeconds ?? 0,
  };
  const bytes = form === 'jwks' ? formatJwtBundle(bundle) : formatSpiffeBundle(bundle);
  return bytes.ok ? ok(`${safeLines(Buffer.from(bytes.value).toString('utf8'))}\n`) : bytes;
}

/** Certificates as PEM, one after the other. */
export function pemOf(x509: BundleContent['x509']): string {
  return x509.map(({ certificate }) => encodePem('CERTIFICATE', certificate.der)).join('');
}
