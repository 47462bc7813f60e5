import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { fail, ok, type Result } from '../../base/result.ts';
import { KEY_TYPES, type KeyManager, type KeyType } from '../key-manager.ts';
import { createOutsideKey, type DigestOrder } from '../outside/outside-key.ts';
import {
  type OutsideBackend,
  type OutsideOptions,
  type OutsideState,
  openOutsideKeyManager,
  outsideCapabilities,
} from '../outside/outside-key-manager.ts';
import type { HeldKey, SlotTable } from '../outside/slot-table.ts';
import type { VaultCodes, VaultPlace } from '../vault/vault-http.ts';
import { type VaultAuth, VaultSession } from '../vault/vault-session.ts';
import { type KeyWrapper, WRAPPING_SLOT } from '../wrapper.ts';
import { createVaultWrapper } from './vault-wrapper.ts';

/** What a manager of keys in Vault's (or OpenBao's) transit engine stands on. */
export interface VaultOptions extends OutsideOptions {
  readonly place: VaultPlace;
  readonly auth: VaultAuth;
  /** Where the engine is mounted. */
  readonly mount: string;
}

const VAULT_TYPES = {
  'ec-p256': 'ecdsa-p256',
  'ec-p384': 'ecdsa-p384',
  'rsa-2048': 'rsa-2048',
  'rsa-4096': 'rsa-4096',
} as const satisfies Readonly<Record<KeyType, string>>;

const HASHES = { sha256: 'sha2-256', sha384: 'sha2-384', sha512: 'sha2-512' } as const;

const CODES: VaultCodes = {
  settings: 'KEY_MANAGER_SETTINGS',
  credentials: 'KEY_MANAGER_CREDENTIALS',
  permission: 'KEY_PERMISSION',
  missing: 'KEY_DELETED',
  disabled: 'KEY_DISABLED',
  unsupported: 'KEY_SIGNING_UNSUPPORTED',
  throttled: 'KEY_MANAGER_THROTTLED',
  sealed: 'KEY_UNAVAILABLE',
  dependency: 'KEY_MANAGER_DEPENDENCY',
  fault: 'KEY_MANAGER_FAULT',
  broken: 'KEY_SEAL_BROKEN',
  refused: 'KEY_MANAGER_REFUSED',
  timeout: 'KEY_MANAGER_TIMEOUT',
  unreachable: 'KEY_MANAGER_UNREACHABLE',
};

const listSchema = z.object({ data: z.object({ keys: z.array(z.string()) }) });
const keySchema = z.object({
  data: z.object({
    latest_version: z.int(),
    min_encryption_version: z.int().default(0),
    keys: z.record(z.string(), z.object({ public_key: z.string(), creation_time: z.string() })),
  }),
});
const signedSchema = z.object({ data: z.object({ signature: z.string() }) });
const nothing = z.unknown();

/** A version of a key in Vault. */
interface Version {
  readonly name: string;
  readonly type: KeyType;
  readonly number: number;
  readonly spki: Uint8Array;
  readonly createdMs: number;
  /** Versions below this one may not sign. */
  readonly firstUsable: number;
}

/** Opens the keys that Vault holds for an owner; they are found by their names. */
export function openVaultKeyManager(options: VaultOptions): Promise<Result<KeyManager>> {
  return openOutsideKeyManager(options, (state) => new VaultBackend(options, state));
}

/**
 * A slot is one key of Vault for each type it ever had; replacing makes a new version, and of several
 * the newest version is in the slot. A signing key is tied to its version and its public key.
 */
class VaultBackend implements OutsideBackend {
  readonly name = 'vault-transit';
  readonly capabilities = outsideCapabilities({ anyHash: true });
  readonly wrapper: KeyWrapper;
  readonly #options: VaultOptions;
  readonly #session: VaultSession;
  readonly #table: SlotTable;

  constructor(options: VaultOptions, { table, turns, paced }: OutsideState) {
    this.#options = options;
    this.#table = table;
    const told = { codes: CODES, setting: 'keys.vaultTransit' };
    this.#session = new VaultSession({ ...options, ...told, runner: paced });
    const { mount } = options;
    const name = this.#nameOf(WRAPPING_SLOT, 'aes256');
    this.wrapper = createVaultWrapper({ session: this.#session, mount, name, turns });
  }

  async close(): Promise<void> {}

  /** `<namespace>.<type>.<slot>.<trust domain>`: only the last part may hold a dot. */
  #nameOf(slot: string, type: KeyType | 'aes256'): string {
    const { namespace, trustDomain } = this.#options.owner;
    return `${namespace}.${type}.${slot}.${trustDomain}`;
  }

  #parseName(name: string): { readonly slot: string; readonly type: KeyType } | undefined {
    const [, typeText, slot = ''] = name.split('.');
    const type = KEY_TYPES.find((each) => each === typeText);
    return type !== undefined && name === this.#nameOf(slot, type) ? { slot, type } : undefined;
  }

  async look(): Promise<Result<void>> {
    const listed = await this.#listNames();
    if (!listed.ok) return listed;
    const newest = new Map<string, Version>();
    for (const name of listed.value) {
      const parsed = this.#parseName(name);
      if (parsed === undefined) continue;
      const versions = await this.#versions(name, parsed.type);
      if (!versions.ok) return versions;
      const last = versions.value.at(-1);
      const other = newest.get(parsed.slot);
      const isNewer = other === undefined || (last?.createdMs ?? 0) > other.createdMs;
      if (last !== undefined && isNewer) newest.set(parsed.slot, last);
    }
    let outcome: Result<void> = ok(undefined);
    for (const slot of new Set([...newest.keys(), ...this.#table.slots()])) {
      const looked = this.#lookAt(slot, newest.get(slot));
      if (outcome.ok) outcome = looked;
    }
    return outcome;
  }

  #lookAt(slot: string, found: Version | undefined): Result<void> {
    if (found === undefined) return fail('KEY_DELETED', `the key of slot ${slot} is gone`);
    if (found.number < found.firstUsable) {
      return fail('KEY_DISABLED', `version ${found.number} of key ${found.name} may not sign`);
    }
    const held = this.#table.get(slot);
    const same = held !== undefined && Buffer.compare(held.key.publicKeySpki, found.spki) === 0;
    if (same) return ok(undefined);
    if (held?.keyId === keyIdOf(found)) {
      const message = `key ${found.name}, version ${found.number}, is another than it was`;
      return fail('KEY_ALIAS_MOVED', message);
    }
    this.#table.set(this.#heldKey(slot, found));
    return ok(undefined);
  }

  async #listNames(): Promise<Result<readonly string[]>> {
    // As good as the LIST verb, which some proxies do not pass.
    const path = `${this.#options.mount}/keys?list=true`;
    const listed = await this.#session.call({ operation: 'list', method: 'GET', path }, listSchema);
    if (listed.ok) return ok(listed.value.data.keys);
    // Vault's way to say that there is none yet.
    return listed.error.code === 'KEY_DELETED' ? ok([]) : listed;
  }

  /** The versions of a key, oldest first. */
  async #versions(name: string, type: KeyType): Promise<Result<readonly Version[]>> {
    const path = `${this.#options.mount}/keys/${name}`;
    const read = await this.#session.call({ operation: 'read', method: 'GET', path }, keySchema);
    if (!read.ok) return read;
    const { keys, min_encryption_version: firstUsable } = read.value.data;
    try {
      const versions = Object.entries(keys).map(([number, each]): Version => {
        const spki = createPublicKey(each.public_key).export({ format: 'der', type: 'spki' });
        const createdMs = Date.parse(each.creation_time);
        return { name, type, number: Number(number), spki, createdMs, firstUsable };
      });
      return ok(versions.sort((a, b) => a.number - b.number));
    } catch (cause) {
      return fail('KEY_MANAGER_FAULT', `key ${name} has a public key that is none`, { cause });
    }
  }

  async generate(slot: string, type: KeyType): Promise<Result<HeldKey>> {
    const name = this.#nameOf(slot, type);
    const path = `${this.#options.mount}/keys/${name}`;
    const before = await this.#versions(name, type);
    if (!before.ok && before.error.code !== 'KEY_DELETED') return before;
    const body = before.ok ? undefined : { type: VAULT_TYPES[type], exportable: false };
    const made = await this.#session.call(
      {
        operation: 'generate',
        method: 'POST',
        path: before.ok ? `${path}/rotate` : path,
        ...(body === undefined ? {} : { body }),
        // Only what certainly made no key is tried again.
        repeatOn: ['KEY_MANAGER_THROTTLED'],
      },
      nothing,
    );
    if (!made.ok) return made;
    const after = await this.#versions(name, type);
    if (!after.ok) return after;
    const last = after.value.at(-1);
    if (last === undefined) return fail('KEY_MANAGER_FAULT', `Vault made no version of ${name}`);
    return ok(this.#heldKey(slot, last));
  }

  async release(slot: string): Promise<Result<void>> {
    const listed = await this.#listNames();
    if (!listed.ok) return listed;
    for (const name of listed.value) {
      if (this.#parseName(name)?.slot !== slot) continue;
      const path = `${this.#options.mount}/keys/${name}`;
      const allowed = await this.#session.call(
        {
          operation: 'delete',
          method: 'POST',
          path: `${path}/config`,
          body: { deletion_allowed: true },
        },
        nothing,
      );
      if (!allowed.ok) return allowed;
      const deleted = await this.#session.call(
        { operation: 'delete', method: 'DELETE', path },
        nothing,
      );
      if (!deleted.ok && deleted.error.code !== 'KEY_DELETED') return deleted;
    }
    this.#table.delete(slot);
    return ok(undefined);
  }

  #heldKey(slot: string, version: Version): HeldKey {
    const key = createOutsideKey({
      slot,
      type: version.type,
      publicKeySpki: version.spki,
      ecdsaForm: 'der',
      signDigest: (order) => this.#sign(version, order),
    });
    return { key, keyId: keyIdOf(version) };
  }

  async #sign(version: Version, { message, options }: DigestOrder): Promise<Result<Uint8Array>> {
    const path = `${this.#options.mount}/sign/${version.name}/${HASHES[options.hash]}`;
    const body = {
      input: Buffer.from(message).toString('base64'),
      prehashed: false,
      key_version: version.number,
      marshaling_algorithm: 'asn1',
      signature_algorithm: options.pss === true ? 'pss' : 'pkcs1v15',
      salt_length: 'hash',
    };
    const signed = await this.#session.call(
      { operation: 'sign', method: 'POST', path, body },
      signedSchema,
    );
    if (!signed.ok) return signed;
    const [, , base64 = ''] = signed.value.data.signature.split(':');
    return ok(Buffer.from(base64, 'base64'));
  }
}

function keyIdOf({ name, number }: Version): string {
  return `${name}:v${number}`;
}
