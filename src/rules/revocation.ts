import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** Why an X.509-SVID was taken back, with the numbers of RFC 5280 §5.3.1 that fit a leaf. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  'key-compromise': 1,
  'affiliation-changed': 3,
  superseded: 4,
  'cessation-of-operation': 5,
  'privilege-withdrawn': 9,
} as const;

/** Name of a reason. */
export type RevocationReason = keyof typeof REVOCATION_REASONS;

/** An X.509-SVID that was taken back before its end. Kept until nobody can mistake it for valid. */
export interface Revocation {
  /** Decimal serial number; what it is found by. */
  readonly serial: string;
  readonly spiffeId: SpiffeId;
  /** Agent that it was issued through; undefined where an operator minted it. */
  readonly agentId: SpiffeId | undefined;
  /** Hex of the subject key identifier of the authority that signed it. */
  readonly authorityId: string;
  /** Name DER of that authority, which a CRL states; undefined where nobody knew it. */
  readonly issuerDer: Uint8Array | undefined;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
  /** Unix seconds. */
  readonly revokedAtSeconds: number;
  readonly reason: RevocationReason;
}

/**
 * How long a revocation is kept past the end of its SVID, in seconds: RFC 5280 §3.3 wants it in one
 * CRL that was made after that end, and peers' clocks may be behind.
 */
export const REVOCATION_GRACE_SECONDS = 3600;

/** The reason with a number of RFC 5280 §5.3.1; undefined where it fits no leaf. */
export function reasonOfNumber(number: number): RevocationReason | undefined {
  for (const [name, value] of Object.entries(REVOCATION_REASONS)) {
    // The keys of the constant are exactly the names.
    if (value === number) return name as RevocationReason;
  }
  return undefined;
}
