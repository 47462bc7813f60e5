import type { Result } from '../base/result.ts';

/** Slot of the wrapping key: the names of what is outside are made from it as from any other. */
export const WRAPPING_SLOT = 'Wrapping';

/**
 * What a wrapped secret is bound to. The key manager authenticates it, so that what was wrapped for one
 * place cannot be unwrapped for another, whoever can write where it is stored.
 */
export interface WrapContext {
  /** Name of the trust domain. */
  readonly trustDomain: string;
  readonly slot: string;
  /** Hex SHA-256 of the SubjectPublicKeyInfo of the key that the secret seals. */
  readonly keyId: string;
}

/** A secret that only the key manager can give back. */
export interface WrappedSecret {
  /** Names the very key, or the version of one, that wrapped it; printable ASCII. */
  readonly wrappingKeyId: string;
  readonly ciphertext: Uint8Array;
}

/** The wrapping key that wraps now. */
export interface WrappingKey {
  /** As in {@link WrappedSecret}. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly createdMs: number;
}

/**
 * A key outside the process that encrypts other keys (`sealed`): it never leaves its key manager, and
 * one call opens one key. Keys that were replaced go on unwrapping and are never deleted by us: backups
 * may hold what they wrapped.
 */
export interface KeyWrapper {
  /** Encrypts at most 64 bytes; makes the wrapping key where there is none. */
  wrap(secret: Uint8Array, context: WrapContext): Promise<Result<WrappedSecret>>;
  /** Fails with KEY_SEAL_BROKEN where it was not wrapped in this context, or was changed. */
  unwrap(wrapped: WrappedSecret, context: WrapContext): Promise<Result<Uint8Array>>;
  /** Undefined where none was made yet. */
  current(): Promise<Result<WrappingKey | undefined>>;
  /** Makes another wrapping key, which wraps from then on. */
  rotate(): Promise<Result<void>>;
}

/** The context as names and values, in a fixed order. */
export function contextPairs(context: WrapContext): Readonly<Record<string, string>> {
  return {
    'signet-key': context.keyId,
    'signet-slot': context.slot,
    'signet-trust-domain': context.trustDomain,
  };
}

/** The context as one text, for key managers that authenticate bytes: no value holds a line end. */
export function contextBytes(context: WrapContext): Uint8Array {
  const lines = Object.entries(contextPairs(context)).map(([name, value]) => `${name}=${value}\n`);
  return Buffer.from(lines.join(''), 'utf8');
}
