import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { type ParsedBundle, parseJwtBundle, parseSpiffeBundle } from '../spiffe/bundle-document.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { parseCertificatesPem } from '../x509/certificate.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import {
  type BundleContent,
  type BundleForm,
  type JwtAuthority,
  NO_CONTENT,
  sha256Hex,
  x509AuthorityOf,
} from './model.ts';

/** Reads what a text holds; the same text is read once. Fails with TRUST_UNREADABLE. */
export type ContentReader = (text: string) => Result<BundleContent>;

/** Most texts that are kept; of a fleet nearly all copies are equal. */
const MAX_KEPT = 4096;

/** Readers need a trust domain to read for, and what they read does not depend on it. */
const NOBODY = unwrap(parseTrustDomain('unknown'));

/** Makes a reader with a memory of its own. */
export function contentReader(): ContentReader {
  const known = new Map<string, Result<BundleContent>>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const read = readContent(text);
    if (known.size < MAX_KEPT) known.set(text, read);
    return read;
  };
}

/** Whether a text looks as if it were a bundle. */
export function looksLikeBundle(text: string): boolean {
  return text.includes('-----BEGIN ') || /^\s*\{[\s\S]*"keys"/.test(text);
}

/** Reads PEM, a SPIFFE bundle document or a JWK Set of JWT keys. Fails with TRUST_UNREADABLE. */
export function readContent(text: string): Result<BundleContent> {
  if (text.trim() === '') return ok(NO_CONTENT);
  return text.trimStart().startsWith('{') ? readDocument(text) : readPem(text);
}

function readPem(text: string): Result<BundleContent> {
  const certificates = parseCertificatesPem(text);
  if (!certificates.ok) return fail('TRUST_UNREADABLE', certificates.error.message);
  const x509 = certificates.value.map((certificate) => x509AuthorityOf(certificate, false));
  return ok({ ...NO_CONTENT, x509 });
}

function readDocument(text: string): Result<BundleContent> {
  const bytes = utf8(text);
  const spiffe = parseSpiffeBundle(NOBODY, bytes);
  if (!spiffe.ok) return fail('TRUST_UNREADABLE', spiffe.error.message);
  const { bundle, ignored } = spiffe.value;
  const isEmpty = bundle.x509Authorities.length + bundle.jwtAuthorities.length === 0;
  if (!isEmpty || ignored.length === 0) return ok(documentContent('spiffe', spiffe.value));
  // JWK Sets of the Workload API and of OIDC have no "use" that SPIFFE knows.
  const jwks = parseJwtBundle(NOBODY, bytes);
  return ok(
    jwks.ok ? documentContent('jwks', jwks.value) : documentContent('spiffe', spiffe.value),
  );
}

function documentContent(form: BundleForm, { bundle, ignored }: ParsedBundle): BundleContent {
  return { ...contentOf(bundle), form, ignored: ignored.length };
}

/** What a bundle holds, with what a server says of tainted authorities. */
export function contentOf(bundle: Bundle): BundleContent {
  const { sequence, refreshHintSeconds: hint } = bundle;
  return {
    form: 'spiffe',
    x509: bundle.x509Authorities.map((one) => x509AuthorityOf(one.certificate, one.tainted)),
    jwt: bundle.jwtAuthorities.map((one): JwtAuthority => {
      const { keyId, publicKeySpki: spki, expiresAtSeconds, tainted } = one;
      const key = one.publicKey === undefined ? parsePublicKey(spki) : ok(one.publicKey);
      return {
        keyId,
        fingerprint: sha256Hex(keyId, '\0', spki),
        keyType: key.ok ? key.value.type : 'unknown',
        spki,
        expiresAtMs: expiresAtSeconds === 0 ? undefined : expiresAtSeconds * 1000,
        tainted,
      };
    }),
    sequence: sequence === 0n ? undefined : sequence,
    refreshHintSeconds: hint === 0 ? undefined : hint,
    ignored: 0,
  };
}
