import { equalBytes } from '../base/bytes.ts';
import { fail, type Result } from '../base/result.ts';
import { certificateScheme } from '../keys/scheme.ts';
import type { LintToken } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { verifySignature } from '../x509/signature.ts';
import { assembleCertificate } from '../x509/template.ts';
import type { Certificate, PublicKey } from '../x509/types.ts';

/** A certificate that was linted and is not signed yet. */
export interface CertificatePlan {
  readonly tbs: Uint8Array;
  readonly token: LintToken;
  /** AlgorithmIdentifier DER. */
  readonly signatureAlgorithm: Uint8Array;
}

/**
 * Has an authority's key sign what was planned. The certificate leaves only when it reads back as what
 * was linted and the issuer's key verifies it, wherever that key lives (B4); else
 * AUTHORITY_CERTIFICATE_INVALID.
 *
 * @param issuer Key of the issuer; the certificate's own where it signs itself.
 * @param name What it is, for the refusal.
 */
export async function signCertificate(
  key: LintedKey,
  { tbs, token, signatureAlgorithm }: CertificatePlan,
  { issuer, name }: { readonly issuer: PublicKey | undefined; readonly name: string },
): Promise<Result<Certificate>> {
  const invalid = (what: string, cause?: unknown) =>
    fail('AUTHORITY_CERTIFICATE_INVALID', `${name} ${what}`, { cause });
  const { hash } = certificateScheme(key.type);
  const signed = await key.sign(token, { hash, encoding: 'der' });
  if (!signed.ok) return signed;
  const { body, signature } = signed.value;
  const read = parseCertificate(assembleCertificate(body, signatureAlgorithm, signature));
  if (!read.ok) return invalid('is not readable', read.error);
  const certificate = read.value;
  if (!equalBytes(certificate.tbs, tbs)) return invalid('reads back as another');
  const signer = issuer ?? certificate.publicKey;
  const verified = verifySignature(signer, signatureAlgorithm, tbs, certificate.signature);
  return verified.ok ? read : invalid('is not signed by the key it names', verified.error);
}
