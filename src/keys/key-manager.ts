import type { Result } from '../base/result.ts';
import type { KeyWrapper } from './wrapper.ts';

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
  /**
   * Signs the message (hashing is included). A key outside this process answers only what its public
   * key verifies (B4): this is the one place that does, nobody above looks again.
   */
  sign(message: Uint8Array, options: SignOptions): Promise<Result<Uint8Array>>;
  /** PKCS#8 DER where the key lives in this process, so that workers can sign; else undefined. */
  exportPkcs8(): Uint8Array | undefined;
}

/** What a backend can do; the conformance suite and the protections of authorities go by it. */
export interface KeyCapabilities {
  /** Whether keys are found again after a restart. */
  readonly persistent: boolean;
  /** Whether private keys are in this process (`exportPkcs8` answers). */
  readonly inProcess: boolean;
  /** Whether a curve signs with any hash; else P-256 with SHA-256 and P-384 with SHA-384 only. */
  readonly anyHash: boolean;
  readonly keyTypes: readonly KeyType[];
}

/** Where signing keys live. */
export interface KeyManager {
  /** Name of the backend: `memory`, `disk`, `aws-kms`, `pkcs11`, `vault-transit`. */
  readonly name: string;
  readonly capabilities: KeyCapabilities;
  /** Encrypts keys of this process for storage; undefined where the backend's own are in it. */
  readonly wrapper?: KeyWrapper | undefined;
  /** Makes a key in a slot; a key that was there is replaced, durably, before this answers. */
  generate(slot: string, type: KeyType): Promise<Result<SigningKey>>;
  /** The key of a slot, if it has one. A key once given out stays the key that it is. */
  get(slot: string): SigningKey | undefined;
  /** Every key held. */
  list(): readonly SigningKey[];
  /**
   * Gives up the key of a slot for good; an empty slot is fine. A backend that delays deletion, as
   * KMS does by a week, lets an operator take it back until then.
   */
  release(slot: string): Promise<Result<void>>;
  /**
   * Looks anew at what is behind the slots; backends outside the process also do so by themselves.
   * Refuses with what is wrong there: keys already given out are kept.
   */
  refresh(): Promise<Result<void>>;
  /** What {@link refresh} found last: a refusal that stands until a later look finds all well. */
  standing(): Result<void>;
  close(): Promise<void>;
}
