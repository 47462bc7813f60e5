import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { nowSeconds, type PolicyContext } from './context.ts';

/** A TCP peer whose certificate chain the validator accepted. */
export interface SvidFacts {
  readonly kind: 'svid';
  readonly id: SpiffeId;
  /** Decimal serial number of the leaf. */
  readonly serialDecimal: string;
  /** Unix seconds; the last second of the leaf. */
  readonly notAfterSeconds: number;
  /** Key identifiers (hex) of the authorities that signed its chain. */
  readonly signerKeyIds: readonly string[];
}

/** Whether an SVID was taken back: by itself, or with the issuing CA that signed it. */
export function isRevoked(peer: SvidFacts, { registry }: PolicyContext): boolean {
  if (registry.revocation(peer.serialDecimal) !== undefined) return true;
  return peer.signerKeyIds.some((keyId) => registry.issuingCa(keyId)?.state === 'revoked');
}

/** Whether an SVID has ended; its connection may outlive it. */
export function isExpired(peer: SvidFacts, context: PolicyContext): boolean {
  return nowSeconds(context) > peer.notAfterSeconds;
}
