import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Crl } from './crl.ts';
import { validatePath } from './path.ts';
import type { TrustedCrl } from './revocation.ts';
import { verifySignature } from './signature.ts';
import type { SignatureMemo } from './signature-memo.ts';
import type { Certificate } from './types.ts';

/** What a CRL is judged against. */
export interface CrlTrust {
  /** Trust anchors of the one trust domain that the CRL is about. */
  readonly roots: readonly Certificate[];
  /** Authorities below them whose own CRLs are taken too. */
  readonly authorities?: readonly Certificate[];
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Signatures that need no second check; none unless told. */
  readonly signatures?: SignatureMemo;
}

/**
 * Judges who signed a CRL. A direct one is its authority's: a root, or one that leads to a root. An
 * indirect one says something about what other authorities issued, so its signer must be made for
 * that by a root itself: signed by it directly, cRLSign, and no authority. Otherwise any authority
 * below a root could revoke what is not its own. Errors: CRL_UNTRUSTED.
 */
export function trustCrl(crl: Crl, trust: CrlTrust): Result<TrustedCrl> {
  const { signerCertificate } = crl;
  const candidates = [
    ...(signerCertificate === undefined ? [] : [signerCertificate]),
    ...trust.roots,
    ...(trust.authorities ?? []),
  ].filter((candidate) => maySign(candidate, crl));
  for (const signer of candidates) {
    if (!isTrusted(signer, crl, trust)) continue;
    if (!isSignedBy(signer, crl, trust.signatures)) continue;
    // The brand exists for the compiler only; this is the one place that gives it.
    return ok({ crl, signerNotAfterMs: signer.notAfterMs } as TrustedCrl);
  }
  return fail('CRL_UNTRUSTED', 'CRL: nobody who may sign it did');
}

function isSignedBy(signer: Certificate, crl: Crl, known: SignatureMemo | undefined): boolean {
  if (known?.has(crl, signer) === true) return true;
  const { signatureAlgorithm, tbs, signature } = crl;
  const verified = verifySignature(signer.publicKey, signatureAlgorithm, tbs, signature).ok;
  if (verified) known?.add(crl, signer);
  return verified;
}

function maySign(signer: Certificate, crl: Crl): boolean {
  const { keyUsage, basicConstraints, subjectKeyId } = signer;
  return (
    equalBytes(signer.subjectDer, crl.issuerDer) &&
    subjectKeyId !== undefined &&
    equalBytes(subjectKeyId, crl.authorityKeyId) &&
    // RFC 5280 §6.3.3 f: where there is a key usage, it must say so. Without one nothing is said.
    keyUsage?.crlSign === true &&
    (basicConstraints?.ca ?? false) === !crl.indirect
  );
}

function isTrusted(signer: Certificate, crl: Crl, trust: CrlTrust): boolean {
  const { roots, authorities, atMs, signatures } = trust;
  // Without an authority in between there is no path but from the root itself.
  const chain = crl.indirect ? [signer] : [signer, ...(authorities ?? [])];
  if (validatePath({ chain, roots, atMs, ...(signatures && { signatures }) }).ok) return true;
  // A root is its own anchor; as a leaf it has no issuer but itself.
  return !crl.indirect && roots.some(({ der }) => equalBytes(der, signer.der));
}
