import { fail, ok, type Result } from '../../base/result.ts';
import { certificateScheme } from '../../keys/scheme.ts';
import { lintCaRequest } from '../../lint/gate.ts';
import type { LintedKey } from '../../lint/linted-key.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { parseCsr, verifyCsrSignature } from '../../x509/csr.ts';
import { assembleCsr, caRequestInfo } from '../../x509/csr-builder.ts';
import { signatureAlgorithmDer } from '../../x509/signature.ts';

/**
 * Makes the request for a CA certificate of the trust domain, signed by the CA's key wherever that
 * lives. It leaves only when its signature verifies. Errors: LINT_REFUSED and those of the key manager.
 */
export async function makeCaRequest(
  key: LintedKey,
  trustDomain: TrustDomain,
  subjectDer: Uint8Array,
): Promise<Result<Uint8Array>> {
  const scheme = certificateScheme(key.type);
  const signatureAlgorithm = signatureAlgorithmDer(scheme);
  const spki = key.publicKeySpki;
  const info = caRequestInfo({ spki, subjectDer, uri: trustDomain.id });
  const token = lintCaRequest(info, { trustDomain, subjectDer, spki, signatureAlgorithm });
  if (!token.ok) return token;
  const signed = await key.sign(token.value, { hash: scheme.hash, encoding: 'der' });
  if (!signed.ok) return signed;
  const csr = assembleCsr(signed.value.body, signatureAlgorithm, signed.value.signature);
  const read = parseCsr(csr);
  const proven = read.ok ? verifyCsrSignature(read.value) : read;
  if (proven.ok) return ok(csr);
  return fail('KEY_SIGNATURE_WRONG', `slot ${key.slot} answered with a wrong signature`, {
    cause: proven.error,
  });
}
