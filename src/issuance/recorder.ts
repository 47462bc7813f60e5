import type { Result } from '../base/result.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** What is written down before a signature is made: enough to account for it ever after. */
export interface IssuanceRecord {
  readonly svid: 'x509' | 'jwt';
  readonly spiffeId: SpiffeId;
  /** Hex serial number of a certificate, key id of a token's signer. */
  readonly serial: string;
  /** Who asked, in the grant's form. */
  readonly requestedBy: string;
  readonly entryId: string | undefined;
  readonly entryRevision: bigint | undefined;
  readonly agentId: SpiffeId | undefined;
  /** Unix seconds. */
  readonly notBeforeSeconds: number;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
  /** SHA-256 of the to-be-signed bytes. */
  readonly tbsHash: Uint8Array;
}

/**
 * Where intent to sign is made durable. One call per batch; nothing of the batch is signed unless
 * it answers ok. The issuance ledger stands behind this.
 */
export interface IssuanceRecorder {
  append(records: readonly IssuanceRecord[]): Promise<Result<void>>;
}
