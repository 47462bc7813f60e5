import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KeyManager, KeyType } from '../key-manager.ts';
import { createOutsideKey } from '../outside/outside-key.ts';
import {
  type OutsideBackend,
  type OutsideOptions,
  type OutsideState,
  openOutsideKeyManager,
  outsideCapabilities,
} from '../outside/outside-key-manager.ts';
import type { HeldKey, SlotTable } from '../outside/slot-table.ts';
import { type KeyWrapper, WRAPPING_SLOT } from '../wrapper.ts';
import { byId, drawTokenId, isTokenId, madeAtMs } from './pkcs11-id.ts';
import type { TokenKey, TokenPlace } from './pkcs11-protocol.ts';
import { TokenThreads } from './pkcs11-threads.ts';
import { createTokenWrapper } from './pkcs11-wrapper.ts';

/** What a manager of keys in a PKCS#11 token stands on. */
export interface Pkcs11Options extends OutsideOptions {
  readonly place: TokenPlace;
  readonly threads: number;
  /** Replaced keys are destroyed after so long; 0 never. */
  readonly sweepAfterMs: number;
}

/** Opens the keys that a token holds for an owner; they are found by their labels. */
export function openPkcs11KeyManager(options: Pkcs11Options): Promise<Result<KeyManager>> {
  return openOutsideKeyManager(options, (state) => new TokenBackend(options, state));
}

class TokenBackend implements OutsideBackend {
  readonly name = 'pkcs11';
  readonly capabilities = outsideCapabilities({ anyHash: true });
  readonly wrapper: KeyWrapper;
  readonly #options: Pkcs11Options;
  readonly #threads: TokenThreads;
  readonly #table: SlotTable;

  constructor(options: Pkcs11Options, { table, turns, paced }: OutsideState) {
    this.#options = options;
    this.#table = table;
    this.#threads = new TokenThreads(options.place, paced, options.threads);
    const { clock, random } = options;
    const label = this.#prefix() + WRAPPING_SLOT;
    this.wrapper = createTokenWrapper({ threads: this.#threads, label, clock, random, turns });
  }

  async generate(slot: string, type: KeyType): Promise<Result<HeldKey>> {
    const label = this.#prefix() + slot;
    const made = await this.#threads.generate({ type, label, id: this.#drawId(slot) });
    return made.ok ? ok(this.#heldKey(slot, made.value)) : made;
  }

  async release(slot: string): Promise<Result<void>> {
    const found = await this.#threads.find();
    if (!found.ok) return found;
    // Oldest first: after a crash in between, the one in the slot is still the one in the slot.
    const all = found.value.filter(({ label }) => label === this.#prefix() + slot).sort(byId);
    for (const key of all) {
      const destroyed = await this.#threads.destroy(key);
      if (!destroyed.ok && destroyed.error.code !== 'KEY_DELETED') return destroyed;
    }
    this.#table.delete(slot);
    return ok(undefined);
  }

  close(): Promise<void> {
    return this.#threads.close();
  }

  #prefix(): string {
    const { namespace, trustDomain } = this.#options.owner;
    return `${namespace}:${trustDomain}:`;
  }

  #drawId(slot: string): Uint8Array {
    const held = this.#table.get(slot);
    return drawTokenId(this.#options, held && Buffer.from(held.keyId, 'hex'));
  }

  /** Of the keys with a slot's label the newest is the one in the slot; older ones go after their age. */
  async look(): Promise<Result<void>> {
    const found = await this.#threads.find();
    if (!found.ok) return found;
    const bySlot = Map.groupBy(
      found.value.filter(({ label }) => label.startsWith(this.#prefix())),
      ({ label }) => label.slice(this.#prefix().length),
    );
    let outcome: Result<void> = ok(undefined);
    for (const slot of new Set([...bySlot.keys(), ...this.#table.slots()])) {
      const keys = (bySlot.get(slot) ?? []).toSorted(byId);
      const looked = this.#lookAt(slot, keys.at(-1));
      if (outcome.ok) outcome = looked;
      if (looked.ok) await this.#sweep(keys);
    }
    return outcome;
  }

  #lookAt(slot: string, key: TokenKey | undefined): Result<void> {
    const held = this.#table.get(slot);
    const keyId = key === undefined ? undefined : toHex(key.id);
    if (held !== undefined && held.keyId === keyId) return ok(undefined);
    // Made by us, and after the one held: another server replaced it.
    const fits = key && isTokenId(key.id) && (held === undefined || (keyId ?? '') > held.keyId);
    if (key === undefined || !fits) {
      const before = held === undefined ? '' : `; it stood for key ${held.keyId}`;
      const message = `the label of slot ${slot} stands for key ${keyId ?? '(none)'}${before}`;
      return fail('KEY_ALIAS_MOVED', message);
    }
    this.#table.set(this.#heldKey(slot, key));
    return ok(undefined);
  }

  async #sweep(keys: readonly TokenKey[]): Promise<void> {
    const { sweepAfterMs, clock, log } = this.#options;
    if (sweepAfterMs === 0) return;
    for (const [index, key] of keys.slice(0, -1).entries()) {
      const successor = keys[index + 1];
      const replacedMs = successor === undefined ? Infinity : madeAtMs(successor.id);
      if (!isTokenId(key.id) || clock.nowMs() - replacedMs < sweepAfterMs) continue;
      const destroyed = await this.#threads.destroy(key);
      const keyId = toHex(key.id);
      if (destroyed.ok) log.info({ label: key.label, keyId }, 'replaced key destroyed');
      else log.warn({ code: destroyed.error.code, keyId }, 'replaced key not destroyed');
    }
  }

  #heldKey(slot: string, { type, publicKeySpki, id }: TokenKey): HeldKey {
    const key = createOutsideKey({
      slot,
      type,
      publicKeySpki,
      ecdsaForm: 'p1363',
      signDigest: ({ digest, options }) => this.#threads.sign({ id, type, digest, options }),
    });
    return { key, keyId: toHex(id) };
  }
}
