import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { equalBytes } from '../../base/bytes.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import type { Logger } from '../../runtime/log.ts';
import { type Ed25519Key, ed25519KeyOf } from '../ed25519-file.ts';
import { KEY_TYPES, type KeyManager, type KeyType, type SigningKey } from '../key-manager.ts';
import { generateLocalKey, importLocalKey, localCapabilities } from '../local-key.ts';
import { Turns } from '../outside/turns.ts';
import { startUpkeep } from '../outside/upkeep.ts';
import { checkSlot } from '../slot.ts';
import {
  broken,
  type ClearKey,
  decodeSealed,
  encodeSealed,
  openKey,
  rewrapKey,
  type SealedKey,
  type SealTools,
  sealKey,
} from './envelope.ts';

/** What is stored for one slot. */
export interface SealedRow {
  readonly slot: string;
  /** Counts the writes to this slot. */
  readonly version: bigint;
  /** Undefined where the key was given up. */
  readonly sealed: Uint8Array | undefined;
}

/** Where sealed keys are stored: the same place for all servers of a trust domain. */
export interface SealedStore {
  loadSealedKeys(): Promise<Result<readonly SealedRow[]>>;
  /**
   * Writes one slot, durably, if its version is still the one that was read (0 for none); answers the
   * new version. Fails with STORE_CONFLICT.
   */
  writeSealedKey(
    write: Omit<SealedRow, 'version'> & { readonly expectedVersion: bigint },
  ): Promise<Result<bigint>>;
}

/** What sealed keys stand on. */
export interface SealedKeysOptions extends SealTools {
  readonly store: SealedStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** A wrapping key is replaced when it is so old; 0 never. */
  readonly rotateAfterMs: number;
}

/**
 * Keys made in this process, signed with in this process, and stored only encrypted. Shared by every
 * server that has the store and may use the wrapping key; while a server runs it needs neither.
 */
export interface SealedKeys extends KeyManager {
  /** The key of a slot; made where there is none. Of two servers that make one, both get the first. */
  ensure(slot: string, type: KeyType): Promise<Result<SigningKey>>;
  /** The same for an Ed25519 key; where there is none `given` is sealed, or one that is made. */
  ed25519(slot: string, given?: KeyObject): Promise<Result<Ed25519Key>>;
  /** Replaces the wrapping key, and wraps every key anew. */
  rotate(): Promise<Result<void>>;
}

/** A key that is open, and the row that it came from. */
interface Held {
  readonly version: bigint;
  readonly sealed: SealedKey | undefined;
  readonly key: SigningKey | undefined;
  readonly ed25519: Ed25519Key | undefined;
}

const UPKEEP_EVERY_MS = 24 * 3_600_000;
const NONE: Held = { version: 0n, sealed: undefined, key: undefined, ed25519: undefined };

/**
 * Opens every sealed key of the store: one call to the key manager for each. One that cannot be opened
 * refuses the whole, as a damaged key file would.
 */
export async function openSealedKeys(options: SealedKeysOptions): Promise<Result<SealedKeys>> {
  const keys = new OpenSealedKeys(options);
  const opened = await keys.refresh();
  if (!opened.ok) return opened;
  keys.startUpkeep();
  return ok(keys);
}

class OpenSealedKeys implements SealedKeys {
  readonly name = 'sealed';
  readonly capabilities = localCapabilities({ persistent: true });
  readonly #options: SealedKeysOptions;
  readonly #held = new Map<string, Held>();
  readonly #turns = new Turns();
  #problem: SignetError | undefined;
  #cancelUpkeep: Cancel = () => {};

  constructor(options: SealedKeysOptions) {
    this.#options = options;
  }

  /** Once a day: a wrapping key that is too old is replaced, keys under another are wrapped anew. */
  startUpkeep(): void {
    const { clock, random } = this.#options;
    const work = async (): Promise<void> => {
      const kept = await this.#turns.take(() => this.#keepWrapped(false));
      if (kept.ok) return;
      const { code, message: reason, action } = kept.error;
      this.#options.log.error({ code, reason, action }, 'wrapping of sealed keys');
    };
    this.#cancelUpkeep = startUpkeep({ clock, random, everyMs: UPKEEP_EVERY_MS, work });
  }

  generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    return this.#turns.take(async () => {
      const named = checkSlot(slot);
      return named.ok ? this.#generate(slot, type) : named;
    });
  }

  ensure(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    return this.#foundOrMade(
      slot,
      (held) => held.key,
      () => this.#generate(slot, type),
    );
  }

  ed25519(slot: string, given?: KeyObject): Promise<Result<Ed25519Key>> {
    return this.#foundOrMade(
      slot,
      (held) => held.ed25519,
      async () => {
        const privateKey = given ?? generateKeyPairSync('ed25519').privateKey;
        const key = ed25519KeyOf(privateKey);
        const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
        const { publicKeySpki } = key;
        const stored = await this.#seal({ slot, type: 'ed25519', publicKeySpki, pkcs8 });
        if (!stored.ok) return stored;
        this.#held.set(slot, { ...stored.value, ed25519: key });
        return ok(key);
      },
    );
  }

  async #generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
    const made = await generateLocalKey(slot, type);
    if (!made.ok) return made;
    const pkcs8 = made.value.exportPkcs8();
    if (pkcs8 === undefined) throw new TypeError('a key made in this process is exportable');
    const { publicKeySpki } = made.value;
    const stored = await this.#seal({ slot, type, publicKeySpki, pkcs8 });
    if (!stored.ok) return stored;
    this.#held.set(slot, { ...stored.value, key: made.value });
    return made;
  }

  #foundOrMade<T>(
    slot: string,
    find: (held: Held) => T | undefined,
    make: () => Promise<Result<T>>,
  ): Promise<Result<T>> {
    return this.#turns.take(async () => {
      const named = checkSlot(slot);
      if (!named.ok) return named;
      const found = find(this.#held.get(slot) ?? NONE);
      if (found !== undefined) return ok(found);
      const made = await make();
      if (made.ok || made.error.code !== 'STORE_CONFLICT') return made;
      // Another server was first, and its key was read by now.
      const theirs = find(this.#held.get(slot) ?? NONE);
      return theirs === undefined ? made : ok(theirs);
    });
  }

  get(slot: string): SigningKey | undefined {
    return this.#held.get(slot)?.key;
  }

  list(): readonly SigningKey[] {
    return [...this.#held.values()].flatMap(({ key }) => key ?? []);
  }

  release(slot: string): Promise<Result<void>> {
    return this.#turns.take(async () => {
      const held = this.#held.get(slot) ?? NONE;
      if (held.sealed === undefined) return ok(undefined);
      const written = await this.#write(slot, undefined);
      if (!written.ok) return written;
      this.#held.set(slot, { ...NONE, version: written.value });
      return ok(undefined);
    });
  }

  refresh(): Promise<Result<void>> {
    return this.#turns.take(() => this.#read());
  }

  standing(): Result<void> {
    return this.#problem === undefined ? ok(undefined) : { ok: false, error: this.#problem };
  }

  rotate(): Promise<Result<void>> {
    return this.#turns.take(() => this.#keepWrapped(true));
  }

  async close(): Promise<void> {
    this.#cancelUpkeep();
    await this.#turns.idle();
    this.#held.clear();
  }

  /** Opens what is new in the store. What cannot be opened is told; a key once open stays. */
  async #read(): Promise<Result<void>> {
    const rows = await this.#options.store.loadSealedKeys();
    let outcome: Result<void> = rows.ok ? ok(undefined) : rows;
    for (const row of rows.ok ? rows.value : []) {
      if (this.#held.get(row.slot)?.version === row.version) continue;
      const opened = await this.#openRow(row);
      if (opened.ok) this.#held.set(row.slot, opened.value);
      else if (outcome.ok) outcome = opened;
    }
    this.#problem = outcome.ok ? undefined : outcome.error;
    return outcome;
  }

  async #openRow({ slot, version, sealed: stored }: SealedRow): Promise<Result<Held>> {
    if (stored === undefined) return ok({ ...NONE, version });
    const sealed = decodeSealed(slot, stored);
    if (!sealed.ok) return sealed;
    const before = this.#held.get(slot);
    const same = before?.sealed?.publicKeySpki ?? new Uint8Array();
    // Wrapped anew by another server: the key is open already.
    if (before !== undefined && equalBytes(same, sealed.value.publicKeySpki)) {
      return ok({ ...before, version, sealed: sealed.value });
    }
    const clear = await openKey(sealed.value, this.#options);
    if (!clear.ok) return clear;
    try {
      const keys = importClear(clear.value);
      return keys === undefined
        ? broken(slot, 'holds no key of the type it names')
        : ok({ version, sealed: sealed.value, ...keys });
    } finally {
      clear.value.pkcs8.fill(0);
    }
  }

  async #seal(key: ClearKey): Promise<Result<Held>> {
    const sealed = await sealKey(key, this.#options);
    key.pkcs8.fill(0);
    if (!sealed.ok) return sealed;
    const written = await this.#write(key.slot, sealed.value);
    if (written.ok) return ok({ ...NONE, version: written.value, sealed: sealed.value });
    if (written.error.code !== 'STORE_CONFLICT') return written;
    const read = await this.#read();
    return read.ok ? written : read;
  }

  /** One durable write: before it the slot is as it was, after it the new key is in it. */
  #write(slot: string, sealed: SealedKey | undefined): Promise<Result<bigint>> {
    return this.#options.store.writeSealedKey({
      slot,
      expectedVersion: this.#held.get(slot)?.version ?? 0n,
      sealed: sealed && encodeSealed(sealed),
    });
  }

  async #keepWrapped(rotateNow: boolean): Promise<Result<void>> {
    const { wrapper, rotateAfterMs, clock, log } = this.#options;
    const read = await this.#read();
    if (!read.ok) return read;
    let current = await wrapper.current();
    if (!current.ok) return current;
    const ageMs = clock.nowMs() - (current.value?.createdMs ?? clock.nowMs());
    if (rotateNow || (rotateAfterMs > 0 && ageMs >= rotateAfterMs)) {
      const rotated = await wrapper.rotate();
      current = rotated.ok ? await wrapper.current() : rotated;
      if (!current.ok) return current;
      log.info({ wrappingKeyId: current.value?.id }, 'another wrapping key');
    }
    return this.#rewrapAll(current.value?.id);
  }

  async #rewrapAll(wrappingKeyId: string | undefined): Promise<Result<void>> {
    for (const [slot, held] of this.#held) {
      const { sealed } = held;
      if (sealed === undefined || sealed.wrapped.wrappingKeyId === wrappingKeyId) continue;
      const rewrapped = await rewrapKey(sealed, this.#options);
      if (!rewrapped.ok) return rewrapped;
      const written = await this.#write(slot, rewrapped.value);
      // Another server did the same: the next look reads what it wrote.
      if (!written.ok && written.error.code === 'STORE_CONFLICT') continue;
      if (!written.ok) return written;
      this.#held.set(slot, { ...held, version: written.value, sealed: rewrapped.value });
      this.#options.log.info({ slot }, 'sealed key wrapped anew');
    }
    return ok(undefined);
  }
}

/** The key that was sealed; undefined where it is none, or not the one that its public half says. */
function importClear({
  slot,
  type,
  publicKeySpki,
  pkcs8,
}: ClearKey): Pick<Held, 'key' | 'ed25519'> | undefined {
  const known = KEY_TYPES.find((each) => each === type);
  if (known !== undefined) {
    const key = importLocalKey({ slot, type: known, pkcs8 });
    const same = key !== undefined && equalBytes(key.publicKeySpki, publicKeySpki);
    return same ? { key, ed25519: undefined } : undefined;
  }
  try {
    const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
    const same = type === 'ed25519' && privateKey.asymmetricKeyType === type;
    return same && equalBytes(spki, publicKeySpki)
      ? { key: undefined, ed25519: ed25519KeyOf(privateKey) }
      : undefined;
  } catch {
    return undefined; // The caller refuses with the name of the slot.
  }
}
