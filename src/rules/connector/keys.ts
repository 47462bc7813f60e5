/** A provisioning key at rest: its hash, never its text. */
export interface ProvisioningKey {
  /** Part of the key's text by which it is found; not secret. */
  readonly id: string;
  /** SHA-256 of the secret, hex. */
  readonly secretHash: string;
  /** The one group that it leads to. */
  readonly group: string;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
  readonly maxUses: number;
  /** Claimants that it was used by; each counts once. */
  readonly uses: number;
  /** Where it may be used from; none is anywhere. */
  readonly cidrs: readonly string[];
  readonly description: string;
}

/** A registered public key by which one connector comes back, certificate or not. */
export interface BoundKey {
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly id: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly group: string;
  /** The connector that it is the key of. */
  readonly connectorId: string;
  /** How often it may come back without a certificate; the first time is none. */
  readonly maxRecoveries: number;
  /** Enrolments that it was answered, the first one included. */
  readonly recoveryCount: bigint;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
  readonly description: string;
}
