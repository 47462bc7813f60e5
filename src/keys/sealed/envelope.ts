import { hash } from 'node:crypto';
import type { Random } from '../../base/random.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { BOX_KEY_BYTES, BOX_OVERHEAD_BYTES, openBox, sealBox } from '../box.ts';
import { contextBytes, type KeyWrapper, type WrapContext, type WrappedSecret } from '../wrapper.ts';

const FORMAT = 'signet-sealed-1';

/** A private key that is stored only encrypted. */
export interface SealedKey {
  readonly slot: string;
  /** A `KeyType`, or `ed25519`. */
  readonly type: string;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** The data key, as the key manager wrapped it. */
  readonly wrapped: WrappedSecret;
  /** The PKCS#8 DER under the data key. */
  readonly box: Uint8Array;
}

/** A private key in the clear. Whoever holds one wipes `pkcs8` after use. */
export interface ClearKey {
  readonly slot: string;
  readonly type: string;
  readonly publicKeySpki: Uint8Array;
  readonly pkcs8: Uint8Array;
}

/** What sealing and opening stand on. */
export interface SealTools {
  /** Name of the trust domain whose keys they are. */
  readonly trustDomain: string;
  readonly wrapper: KeyWrapper;
  readonly random: Random;
}

/** Name of a key: of the two keys that a slot had one after the other, which. */
export function sealedKeyId(publicKeySpki: Uint8Array): string {
  return hash('sha256', publicKeySpki);
}

function contextOf(
  key: Pick<SealedKey, 'slot' | 'publicKeySpki'>,
  { trustDomain }: SealTools,
): WrapContext {
  return { trustDomain, slot: key.slot, keyId: sealedKeyId(key.publicKeySpki) };
}

/** Authenticated with the private key: what wraps the data key is not part of it, it changes. */
function associatedData(key: Pick<SealedKey, 'type'>, context: WrapContext): Uint8Array {
  return Buffer.concat([Buffer.from(`${FORMAT}\n${key.type}\n`, 'utf8'), contextBytes(context)]);
}

/** Encrypts a private key under a data key of its own, which the key manager wraps: one call. */
export async function sealKey(key: ClearKey, tools: SealTools): Promise<Result<SealedKey>> {
  const { slot, type, publicKeySpki } = key;
  const context = contextOf(key, tools);
  const dataKey = tools.random.bytes(BOX_KEY_BYTES);
  try {
    const wrapped = await tools.wrapper.wrap(dataKey, context);
    if (!wrapped.ok) return wrapped;
    const boxKey = { key: dataKey, associatedData: associatedData(key, context) };
    const box = sealBox(boxKey, key.pkcs8, tools.random);
    return ok({ slot, type, publicKeySpki, wrapped: wrapped.value, box });
  } finally {
    dataKey.fill(0);
  }
}

/** Gives a private key back: one call to the key manager. Fails with KEY_SEAL_BROKEN and its refusals. */
export async function openKey(sealed: SealedKey, tools: SealTools): Promise<Result<ClearKey>> {
  const { slot, type, publicKeySpki, box } = sealed;
  const context = contextOf(sealed, tools);
  const dataKey = await tools.wrapper.unwrap(sealed.wrapped, context);
  if (!dataKey.ok) return dataKey;
  try {
    const boxKey = { key: dataKey.value, associatedData: associatedData(sealed, context) };
    const pkcs8 = openBox(boxKey, box);
    return ok({ slot, type, publicKeySpki, pkcs8 });
  } catch (cause) {
    return broken(slot, 'is not what was sealed', cause);
  } finally {
    dataKey.value.fill(0);
  }
}

/** The same key under the wrapping key of now: the data key changes its wrapping, nothing else does. */
export async function rewrapKey(sealed: SealedKey, tools: SealTools): Promise<Result<SealedKey>> {
  const context = contextOf(sealed, tools);
  const dataKey = await tools.wrapper.unwrap(sealed.wrapped, context);
  if (!dataKey.ok) return dataKey;
  try {
    const wrapped = await tools.wrapper.wrap(dataKey.value, context);
    return wrapped.ok ? ok({ ...sealed, wrapped: wrapped.value }) : wrapped;
  } finally {
    dataKey.value.fill(0);
  }
}

/** A sealed key as it is stored: lines of text. */
export function encodeSealed(sealed: SealedKey): Uint8Array {
  const { slot, type, publicKeySpki, wrapped, box } = sealed;
  const binary = [publicKeySpki, wrapped.ciphertext, box].map((each) =>
    Buffer.from(each).toString('base64'),
  );
  return Buffer.from([FORMAT, slot, type, wrapped.wrappingKeyId, ...binary, ''].join('\n'), 'utf8');
}

/**
 * Reads what is stored for a slot. Refuses what this program did not write; whether it was changed
 * since shows when it is opened.
 */
export function decodeSealed(slot: string, stored: Uint8Array): Result<SealedKey> {
  const text = Buffer.from(stored).toString('utf8');
  const [, storedSlot, type, wrappingKeyId, spki, ciphertext, box] = text.split('\n');
  if (
    storedSlot === undefined ||
    type === undefined ||
    wrappingKeyId === undefined ||
    spki === undefined ||
    ciphertext === undefined ||
    box === undefined
  ) {
    return broken(slot, 'is truncated');
  }
  const sealed: SealedKey = {
    slot: storedSlot,
    type,
    publicKeySpki: Buffer.from(spki, 'base64'),
    wrapped: { wrappingKeyId, ciphertext: Buffer.from(ciphertext, 'base64') },
    box: Buffer.from(box, 'base64'),
  };
  if (Buffer.compare(encodeSealed(sealed), stored) !== 0) return broken(slot, 'is not of our form');
  if (sealed.box.length <= BOX_OVERHEAD_BYTES) return broken(slot, 'is too short');
  return storedSlot === slot ? ok(sealed) : broken(slot, `was sealed for slot ${storedSlot}`);
}

/** What is stored for a slot cannot be used. */
export function broken(slot: string, what: string, cause?: unknown): Failed {
  return fail('KEY_SEAL_BROKEN', `the sealed key of slot ${slot} ${what}`, { cause });
}
