import { hash } from 'node:crypto';
import { concatBytes, utf8 } from '../../base/bytes.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { BOX_KEY_BYTES, openBox, sealBox } from '../box.ts';
import { contextBytes, type KeyWrapper, type WrapContext, type WrappedSecret } from '../wrapper.ts';

const FORMAT = 'signet-sealed-secret-1';
const SLOT = 'Secret';

/** A secret that is no key of ours, encrypted. */
export interface SealedSecret {
  /** The data key, as the wrapping key wrapped it. */
  readonly wrapped: WrappedSecret;
  /** The secret under the data key. */
  readonly box: Uint8Array;
}

/** What sealing and opening stand on. */
export interface SecretTools {
  /** Name of the trust domain. */
  readonly trustDomain: string;
  readonly wrapper: Pick<KeyWrapper, 'wrap' | 'unwrap'>;
  readonly random: Random;
}

/** Encrypts a secret for one place, under a data key of its own. */
export async function sealSecret(
  secret: Uint8Array,
  place: string,
  { trustDomain, wrapper, random }: SecretTools,
): Promise<Result<SealedSecret>> {
  const context = contextOf(trustDomain, place);
  const key = random.bytes(BOX_KEY_BYTES);
  try {
    const wrapped = await wrapper.wrap(key, context);
    if (!wrapped.ok) return wrapped;
    const box = sealBox({ key, associatedData: boundTo(context) }, secret, random);
    return ok({ wrapped: wrapped.value, box });
  } finally {
    key.fill(0);
  }
}

/**
 * Gives it back, in the trust domain and the place that it was sealed for and no other. Fails with
 * KEY_SEAL_BROKEN and as the key manager does. Secrets that were sealed before boxes were bound to the trust
 * domain open as well, as far as the key manager gives their data key; none is sealed so any more.
 */
export async function openSecret(
  { wrapped, box }: SealedSecret,
  place: string,
  { trustDomain, wrapper }: SecretTools,
): Promise<Result<Uint8Array>> {
  const context = contextOf(trustDomain, place);
  const key = await wrapper.unwrap(wrapped, context);
  if (!key.ok) return key;
  try {
    return ok(openBound(key.value, box, [boundTo(context), utf8(`${FORMAT}\n${place}\n`)]));
  } catch (cause) {
    return fail('KEY_SEAL_BROKEN', `the secret of ${place} is not what was sealed`, { cause });
  } finally {
    key.value.fill(0);
  }
}

function contextOf(trustDomain: string, place: string): WrapContext {
  return { trustDomain, slot: SLOT, keyId: hash('sha256', `${FORMAT}\n${place}\n`) };
}

/** Opens a box that is bound to one of these; throws as {@link openBox} where it is to none. */
function openBound(
  key: Uint8Array,
  box: Uint8Array,
  [associatedData, before]: readonly [Uint8Array, Uint8Array],
): Uint8Array {
  try {
    return openBox({ key, associatedData }, box);
  } catch {
    return openBox({ key, associatedData: before }, box);
  }
}

/** What the box itself is for: not every key manager holds what it wraps to its context. */
function boundTo(context: WrapContext): Uint8Array {
  return concatBytes([utf8(`${FORMAT}\n`), contextBytes(context)]);
}
