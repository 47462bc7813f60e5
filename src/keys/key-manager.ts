import type { Result } from '../base/result.ts';

/** Kinds of signing key that an authority may have. */
export const KEY_TYPES = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-4096'] as const;

/** Kind of a signing key. */
export type KeyType = (typeof KEY_TYPES)[number];

/** How a message is signed. RSA is PKCS#1 v1.5 unless `pss`. */
export interface SignOptions {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly pss?: boolean;
  /** `der` for certificates, `p1363` for JWS. Ignored for RSA. */
  readonly encoding: 'der' | 'p1363';
}

/** A private key that can sign, wherever it lives. */
export interface SigningKey {
  /** Name of the slot that holds it, such as `x509-CA-A`. */
  readonly slot: string;
  readonly type: KeyType;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Signs the message (hashing is included). */
  sign(message: Uint8Array, options: SignOptions): Promise<Result<Uint8Array>>;
  /** PKCS#8 DER where the key lives in this process, so that workers can sign; else undefined. */
  exportPkcs8(): Uint8Array | undefined;
}

/** Where signing keys live. */
export interface KeyManager {
  /** Name of the backend: `memory`, `disk`. */
  readonly name: string;
  /** Whether keys are found again after a restart. */
  readonly persistent: boolean;
  /** Makes a key in a slot; a key that was there is replaced, durably, before this answers. */
  generate(slot: string, type: KeyType): Promise<Result<SigningKey>>;
  /** The key of a slot, if it has one. */
  get(slot: string): SigningKey | undefined;
  /** Every key held. */
  list(): readonly SigningKey[];
  close(): Promise<void>;
}
