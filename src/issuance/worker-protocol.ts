import type { KeyType } from '../keys/key-manager.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';

/** What a signing thread is started with. */
export interface SignWorkerData {
  readonly blockedKeys: BlockedKeys;
}

/** What the main thread tells a signing thread. Buffers change hands. */
export type ToWorker =
  /** The authority that the drafts after this message are for. */
  | {
      readonly kind: 'authority';
      readonly slot: string;
      readonly keyType: KeyType;
      readonly pkcs8: Uint8Array;
      readonly certificate: Uint8Array;
      readonly crlPoints: Uint8Array | undefined;
    }
  /** Steps 1 and 2. The drafts stay in the thread under the job's number. */
  | { readonly kind: 'draft'; readonly job: number; readonly orders: ArrayBuffer }
  /** Step 1 alone, for keys that do not leave their key manager. */
  | { readonly kind: 'check'; readonly job: number; readonly orders: ArrayBuffer }
  /** Step 4 for the drafts of a job. */
  | { readonly kind: 'sign'; readonly job: number; readonly drafts: number }
  /** The record was refused: the drafts of a job are forgotten. */
  | { readonly kind: 'discard'; readonly drafts: number };

/** What a signing thread answers to `draft`, `check` and `sign`. */
export interface FromWorker {
  readonly job: number;
  /** `packOutcomes` of hashes, keys or certificates. */
  readonly outcomes: ArrayBuffer;
}
