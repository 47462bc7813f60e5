import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ManualClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  SealedKeysOptions,
  SealedRow,
  SealedStore,
} from '../../src/keys/sealed/sealed-keys.ts';
import { contextBytes, type KeyWrapper } from '../../src/keys/wrapper.ts';
import { SILENT } from './issuance.ts';

/** The part of a store that sealed keys need, in memory, with the compare-and-swap of the real one. */
export class MemorySealedStore implements SealedStore {
  readonly rows = new Map<string, SealedRow>();

  loadSealedKeys: SealedStore['loadSealedKeys'] = async () => ok([...this.rows.values()]);

  writeSealedKey: SealedStore['writeSealedKey'] = async ({ slot, expectedVersion, sealed }) => {
    const version = this.rows.get(slot)?.version ?? 0n;
    if (version !== expectedVersion) return fail('STORE_CONFLICT', `${slot} has ${version}`);
    this.rows.set(slot, { slot, version: version + 1n, sealed });
    return ok(version + 1n);
  };
}

/** A key manager's wrapping key in memory; `refuse` may stand in the way of each call. */
export class MemoryWrapper implements KeyWrapper {
  readonly calls = { wrap: 0, unwrap: 0 };
  refuse: (call: 'wrap' | 'unwrap' | 'rotate') => Result<never> | undefined = () => undefined;
  readonly #keys: { readonly key: Buffer; readonly createdMs: number }[] = [];
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => 0) {
    this.#nowMs = nowMs;
  }

  /** Number of wrapping keys that were ever made. */
  get made(): number {
    return this.#keys.length;
  }

  wrap: KeyWrapper['wrap'] = async (secret, context) => {
    this.calls.wrap += 1;
    const refused = this.refuse('wrap');
    if (refused !== undefined) return refused;
    if (this.#keys.length === 0) await this.rotate();
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.at(-1)!.key, nonce);
    cipher.setAAD(contextBytes(context));
    const text = Buffer.concat([cipher.update(secret), cipher.final()]);
    const ciphertext = Buffer.concat([nonce, text, cipher.getAuthTag()]);
    return ok({ wrappingKeyId: String(this.#keys.length), ciphertext });
  };

  unwrap: KeyWrapper['unwrap'] = async ({ wrappingKeyId, ciphertext }, context) => {
    this.calls.unwrap += 1;
    const refused = this.refuse('unwrap');
    if (refused !== undefined) return refused;
    const held = this.#keys[Number(wrappingKeyId) - 1];
    if (held === undefined) return fail('KEY_DELETED', `no key ${wrappingKeyId}`);
    try {
      const decipher = createDecipheriv('aes-256-gcm', held.key, ciphertext.subarray(0, 12));
      decipher.setAAD(contextBytes(context));
      decipher.setAuthTag(ciphertext.subarray(-16));
      const text = ciphertext.subarray(12, -16);
      return ok(Buffer.concat([decipher.update(text), decipher.final()]));
    } catch (cause) {
      return fail('KEY_SEAL_BROKEN', 'not wrapped so', { cause });
    }
  };

  current: KeyWrapper['current'] = async () => {
    const key = this.#keys.at(-1);
    return ok(key && { id: String(this.#keys.length), createdMs: key.createdMs });
  };

  rotate: KeyWrapper['rotate'] = async () => {
    const refused = this.refuse('rotate');
    if (refused !== undefined) return refused;
    this.#keys.push({ key: randomBytes(32), createdMs: this.#nowMs() });
    return ok(undefined);
  };
}

/** A trust domain's store and wrapping key, which servers share. */
export function sealingWorld() {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const store = new MemorySealedStore();
  const wrapper = new MemoryWrapper(() => clock.nowMs());
  const options: SealedKeysOptions = {
    trustDomain: 'example.org',
    wrapper,
    store,
    clock,
    random: systemRandom,
    log: SILENT,
    rotateAfterMs: 0,
  };
  return { clock, store, wrapper, options };
}
