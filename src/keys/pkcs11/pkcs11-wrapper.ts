import { toHex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { BOX_OVERHEAD_BYTES, openBox, sealBox } from '../box.ts';
import type { Turns } from '../outside/turns.ts';
import {
  contextBytes,
  type KeyWrapper,
  type WrapContext,
  type WrappedSecret,
  type WrappingKey,
} from '../wrapper.ts';
import { byId, drawTokenId, isTokenId, madeAtMs } from './pkcs11-id.ts';
import type { TokenThreads } from './pkcs11-threads.ts';

/** What wrapping by a token stands on. */
export interface TokenWrapperOptions {
  readonly threads: TokenThreads;
  /** CKA_LABEL of the wrapping keys; the newest wraps. */
  readonly label: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Whatever makes keys goes one after another. */
  readonly turns: Turns;
}

const SALT_BYTES = 32;
const LABEL = 'signet-wrap-1';
const WRAPPING_KEY_ID = /^[0-9a-f]{28}$/;

/**
 * Wraps by an HMAC key that never leaves the token. From it, a random salt and the context the token
 * derives a key for this one secret (SP 800-108 in counter mode: one block of HMAC-SHA-256), which
 * encrypts it here, the context authenticated once more. Every HSM can do that; AES-GCM with associated
 * data is missing in some, and others insist on making its nonce.
 */
export function createTokenWrapper(options: TokenWrapperOptions): KeyWrapper {
  const { turns } = options;
  return {
    async wrap(secret, context) {
      const key = await turns.take(() => currentOrMade(options));
      return key.ok ? encrypt(options, { key: key.value, secret, context }) : key;
    },
    unwrap: (wrapped, context) => decrypt(options, wrapped, context),
    current: () => turns.take(() => findCurrent(options)),
    rotate: () =>
      turns.take(async () => {
        const before = await findCurrent(options);
        const made = before.ok ? await make(options, before.value) : before;
        return made.ok ? ok(undefined) : made;
      }),
  };
}

async function encrypt(
  options: TokenWrapperOptions,
  order: { readonly key: WrappingKey; readonly secret: Uint8Array; readonly context: WrapContext },
): Promise<Result<WrappedSecret>> {
  const { key, secret, context } = order;
  const salt = options.random.bytes(SALT_BYTES);
  const derived = await derive(options, { id: key.id, salt, context });
  if (!derived.ok) return derived;
  try {
    const boxKey = { key: derived.value, associatedData: contextBytes(context) };
    const box = sealBox(boxKey, secret, options.random);
    return ok({ wrappingKeyId: key.id, ciphertext: Buffer.concat([salt, box]) });
  } finally {
    derived.value.fill(0);
  }
}

async function decrypt(
  options: TokenWrapperOptions,
  { wrappingKeyId: id, ciphertext }: WrappedSecret,
  context: WrapContext,
): Promise<Result<Uint8Array>> {
  const named = WRAPPING_KEY_ID.test(id) && ciphertext.length > SALT_BYTES + BOX_OVERHEAD_BYTES;
  if (!named) return fail('KEY_SEAL_BROKEN', 'what is to be unwrapped was not wrapped by a token');
  const salt = ciphertext.subarray(0, SALT_BYTES);
  const derived = await derive(options, { id, salt, context });
  if (!derived.ok) return derived;
  try {
    const boxKey = { key: derived.value, associatedData: contextBytes(context) };
    return ok(openBox(boxKey, ciphertext.subarray(SALT_BYTES)));
  } catch (cause) {
    return fail('KEY_SEAL_BROKEN', `wrapping key ${id} did not wrap this, or not so`, { cause });
  } finally {
    derived.value.fill(0);
  }
}

/** SP 800-108 §4.1 with r = 32 and L = 256: counter, label, 0x00, context, length. */
function derive(
  { threads, label }: TokenWrapperOptions,
  order: { readonly id: string; readonly salt: Uint8Array; readonly context: WrapContext },
): Promise<Result<Uint8Array>> {
  const { id, salt, context } = order;
  const [counter, length] = [Buffer.of(0, 0, 0, 1), Buffer.of(0, 0, 1, 0)];
  const named = Buffer.from(`${LABEL}\0`, 'latin1');
  const message = Buffer.concat([counter, named, salt, contextBytes(context), length]);
  // By label and id: another key of the token that the id names is not ours.
  return threads.mac({ label, id: Buffer.from(id, 'hex'), message });
}

async function currentOrMade(options: TokenWrapperOptions): Promise<Result<WrappingKey>> {
  const found = await findCurrent(options);
  if (!found.ok) return found;
  return found.value === undefined ? make(options, undefined) : ok(found.value);
}

async function findCurrent({
  threads,
  label,
}: TokenWrapperOptions): Promise<Result<WrappingKey | undefined>> {
  const found = await threads.findSecrets(label);
  if (!found.ok) return found;
  const newest = found.value.filter(isTokenId).map((id) => ({ id }));
  const last = newest.sort(byId).at(-1);
  return ok(last && { id: toHex(last.id), createdMs: madeAtMs(last.id) });
}

/** A crash after it leaves a key that wraps from then on. */
async function make(
  options: TokenWrapperOptions,
  before: WrappingKey | undefined,
): Promise<Result<WrappingKey>> {
  const id = drawTokenId(options, before && Buffer.from(before.id, 'hex'));
  const made = await options.threads.generateSecret({ label: options.label, id });
  return made.ok ? ok({ id: toHex(id), createdMs: madeAtMs(id) }) : made;
}
