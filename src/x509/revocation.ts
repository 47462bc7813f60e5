import { equalBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import type { Crl } from './crl.ts';
import type { Certificate } from './types.ts';

declare const brand: unique symbol;

/** A CRL whose signer was judged. Only `trustCrl` makes one. */
export interface TrustedCrl {
  readonly [brand]: true;
  readonly crl: Crl;
  /** End of the signer's certificate; the CRL says nothing after it. */
  readonly signerNotAfterMs: number;
}

/** How revocation is judged. */
export interface RevocationCheck {
  /** CRLs of the trust domain of the path. */
  readonly crls: readonly TrustedCrl[];
  /**
   * What becomes of a certificate that no CRL which is in force covers: none came, or it is stale.
   * One that is listed is refused in any case, by a stale CRL too: what was revoked stays revoked.
   */
  readonly unknown: 'refuse' | 'accept';
  /** How long after its nextUpdate a CRL still clears a certificate, in ms; not at all unless told. */
  readonly maxStaleMs?: number;
}

/**
 * Judges every certificate of a path but the root (RFC 5280 §6.3). Stops with `refuse`: PATH_REVOKED,
 * PATH_REVOCATION_UNKNOWN.
 */
export function checkRevocation(
  path: readonly Certificate[],
  check: RevocationCheck,
  atMs: number,
): void {
  for (const certificate of path.slice(0, -1)) checkOne(certificate, check, atMs);
}

function checkOne(
  certificate: Certificate,
  { crls, unknown, maxStaleMs = 0 }: RevocationCheck,
  atMs: number,
): void {
  const { issuerDer, serial, serialDecimal } = certificate;
  const covering = crls.filter(({ crl }) => covers(crl, certificate));
  for (const { crl } of covering) {
    const entry = crl.find(issuerDer, serial);
    if (entry === undefined) continue;
    const when = new Date(entry.revokedAtMs).toISOString();
    refuse(
      'PATH_REVOKED',
      `certificate ${serialDecimal}: revoked at ${when}, reason ${entry.reason}`,
    );
  }
  if (unknown === 'accept' || covering.some((crl) => isInForce(crl, atMs, maxStaleMs))) return;
  const why = covering.length === 0 ? 'no CRL covers it' : 'its CRL is not in force';
  refuse('PATH_REVOCATION_UNKNOWN', `certificate ${serialDecimal}: ${why}`);
}

function covers(crl: Crl, certificate: Certificate): boolean {
  const ca = certificate.basicConstraints?.ca === true;
  if (crl.scope === (ca ? 'leaves' : 'authorities')) return false;
  return crl.indirect || equalBytes(crl.issuerDer, certificate.issuerDer);
}

/** Both ends included; a CRL ends with the certificate of its signer at the latest. */
function isInForce(
  { crl, signerNotAfterMs }: TrustedCrl,
  atMs: number,
  maxStaleMs: number,
): boolean {
  const untilMs = Math.min(crl.nextUpdateMs + maxStaleMs, signerNotAfterMs);
  return atMs >= crl.thisUpdateMs && atMs <= untilMs;
}
