import type { KeyType, SignOptions } from '../key-manager.ts';

/** Which token of which library, and its PIN. */
export interface TokenPlace {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  /** Number of the slot; else the token is found by its label, or is the only one. */
  readonly slot?: number | undefined;
  readonly tokenLabel?: string | undefined;
  readonly pin: string;
}

/** A key pair as the token holds it. */
export interface TokenKey {
  readonly label: string;
  /** CKA_ID. */
  readonly id: Uint8Array;
  /** Object handles of the private and the public half. */
  readonly handle: Uint8Array;
  readonly publicHandle: Uint8Array;
  readonly type: KeyType;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
}

/** What the thread is asked for. */
export type TokenRequest =
  | { readonly kind: 'find' }
  | {
      readonly kind: 'generate';
      readonly type: KeyType;
      readonly label: string;
      readonly id: Uint8Array;
    }
  | {
      readonly kind: 'sign';
      /** CKA_ID: handles end with a login, or with a device that was reset. */
      readonly id: Uint8Array;
      readonly type: KeyType;
      readonly digest: Uint8Array;
      readonly options: SignOptions;
    }
  | { readonly kind: 'destroy'; readonly handles: readonly Uint8Array[] }
  /** CKA_IDs of the HMAC keys with a label. */
  | { readonly kind: 'find-secrets'; readonly label: string }
  | { readonly kind: 'generate-secret'; readonly label: string; readonly id: Uint8Array }
  /** HMAC-SHA-256 by the key with this label and CKA_ID. */
  | {
      readonly kind: 'mac';
      readonly label: string;
      readonly id: Uint8Array;
      readonly message: Uint8Array;
    };

/** What goes to the thread. */
export interface ToThread {
  readonly job: number;
  readonly request: TokenRequest;
}

/** Why the thread did not do it. */
export interface TokenFault {
  /** The CKR_ number of the library; undefined where it did not come so far. */
  readonly rv: number | undefined;
  readonly message: string;
}

/** What comes from the thread. */
export type FromThread =
  | { readonly job: number; readonly value: unknown }
  | { readonly job: number; readonly fault: TokenFault };
