import { toHex } from '../../base/bytes.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import {
  KEY_TYPES,
  type KeyCapabilities,
  type KeyManager,
  type KeyType,
  type SigningKey,
} from '../key-manager.ts';
import { createOutsideKey } from '../outside/outside-key.ts';
import { type Pace, PacedCalls } from '../outside/paced-calls.ts';
import { SlotTable } from '../outside/slot-table.ts';
import { Turns } from '../outside/turns.ts';
import { startUpkeep } from '../outside/upkeep.ts';
import { checkSlot } from '../slot.ts';
import type { TokenKey, TokenPlace } from './pkcs11-protocol.ts';
import { TokenThreads } from './pkcs11-threads.ts';

/** What a manager of keys in a PKCS#11 token stands on. */
export interface Pkcs11Options {
  readonly place: TokenPlace;
  readonly threads: number;
  readonly owner: { readonly namespace: string; readonly trustDomain: string };
  readonly pace: Pace;
  readonly refreshMs: number;
  /** Replaced keys are destroyed after so long; 0 never. */
  readonly sweepAfterMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** CKA_ID: time of making in milliseconds (6 octets), then random ones that tell two of one moment apart. */
const ID_BYTES = 14;

const CAPABILITIES: KeyCapabilities = {
  persistent: true,
  inProcess: false,
  anyHash: true,
  keyTypes: KEY_TYPES,
};

/** Opens the keys that a token holds for an owner: it finds them by their labels and makes none. */
export async function openPkcs11KeyManager(options: Pkcs11Options): Promise<Result<KeyManager>> {
  const manager = new Pkcs11KeyManager(options);
  const opened = await manager.open();
  if (opened.ok) return ok(manager);
  await manager.close();
  return opened;
}

class Pkcs11KeyManager implements KeyManager {
  readonly name = 'pkcs11';
  readonly capabilities = CAPABILITIES;
  readonly #options: Pkcs11Options;
  readonly #threads: TokenThreads;
  readonly #table = new SlotTable();
  readonly #turns = new Turns();
  #cancelUpkeep: Cancel = () => {};

  constructor(options: Pkcs11Options) {
    this.#options = options;
    this.#threads = new TokenThreads(options.place, new PacedCalls(options), options.threads);
  }

  async open(): Promise<Result<void>> {
    const looked = await this.refresh();
    if (!looked.ok) return looked;
    const { clock, random, refreshMs } = this.#options;
    const work = async (): Promise<void> => {
      const again = await this.refresh();
      if (!again.ok) this.#options.log.error({ code: again.error.code }, again.error.message);
    };
    this.#cancelUpkeep = startUpkeep({ clock, random, everyMs: refreshMs, work });
    return ok(undefined);
  }

  generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    const named = checkSlot(slot);
    if (!named.ok) return Promise.resolve(named);
    return this.#turns.take(async () => {
      const label = this.#prefix() + slot;
      const made = await this.#threads.generate({ type, label, id: await this.#drawId(label) });
      return made.ok ? ok(this.#hold(slot, made.value)) : made;
    });
  }

  get(slot: string): SigningKey | undefined {
    return this.#table.get(slot)?.key;
  }

  list(): readonly SigningKey[] {
    return this.#table.keys();
  }

  release(slot: string): Promise<Result<void>> {
    return this.#turns.take(async () => {
      if (this.#table.get(slot) === undefined) return ok(undefined);
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
    });
  }

  refresh(): Promise<Result<void>> {
    return this.#turns.take(async () => this.#table.note(await this.#look()));
  }

  standing(): Result<void> {
    return this.#table.standing();
  }

  async close(): Promise<void> {
    this.#cancelUpkeep();
    await this.#turns.idle();
    await this.#threads.close();
    this.#table.clear();
  }

  #prefix(): string {
    const { namespace, trustDomain } = this.#options.owner;
    return `${namespace}:${trustDomain}:`;
  }

  /** Never before that of the key that is in the slot, whatever happened to the clock. */
  async #drawId(label: string): Promise<Uint8Array> {
    const { clock, random } = this.#options;
    const held = this.#table.get(label.slice(this.#prefix().length));
    const lastMs = held === undefined ? 0 : madeAtMs(Buffer.from(held.keyId, 'hex'));
    const id = Buffer.concat([Buffer.alloc(6), random.bytes(ID_BYTES - 6)]);
    id.writeUIntBE(Math.max(clock.nowMs(), lastMs + 1), 0, 6);
    return id;
  }

  /** Of the keys with a slot's label the newest is the one in the slot; older ones go after their age. */
  async #look(): Promise<Result<void>> {
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
    const fits = key?.id.length === ID_BYTES && (held === undefined || (keyId ?? '') > held.keyId);
    if (key === undefined || !fits) {
      const before = held === undefined ? '' : `; it stood for key ${held.keyId}`;
      const message = `the label of slot ${slot} stands for key ${keyId ?? '(none)'}${before}`;
      return fail('KEY_ALIAS_MOVED', message);
    }
    this.#hold(slot, key);
    return ok(undefined);
  }

  async #sweep(keys: readonly TokenKey[]): Promise<void> {
    const { sweepAfterMs, clock, log } = this.#options;
    if (sweepAfterMs === 0) return;
    for (const [index, key] of keys.slice(0, -1).entries()) {
      const successor = keys[index + 1];
      const replacedMs = successor === undefined ? Infinity : madeAtMs(successor.id);
      if (key.id.length !== ID_BYTES || clock.nowMs() - replacedMs < sweepAfterMs) continue;
      const destroyed = await this.#threads.destroy(key);
      const keyId = toHex(key.id);
      if (destroyed.ok) log.info({ label: key.label, keyId }, 'replaced key destroyed');
      else log.warn({ code: destroyed.error.code, keyId }, 'replaced key not destroyed');
    }
  }

  #hold(slot: string, { type, publicKeySpki, id }: TokenKey): SigningKey {
    const key = createOutsideKey({
      slot,
      type,
      publicKeySpki,
      ecdsaForm: 'p1363',
      signDigest: ({ digest, options }) => this.#threads.sign({ id, type, digest, options }),
    });
    this.#table.set({ key, keyId: toHex(id) });
    return key;
  }
}

function madeAtMs(id: Uint8Array): number {
  return Buffer.from(id).readUIntBE(0, 6);
}

function byId(a: TokenKey, b: TokenKey): number {
  return Buffer.compare(a.id, b.id);
}
