import { z } from 'zod';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Turns } from '../outside/turns.ts';
import type { VaultSession } from '../vault/vault-session.ts';
import {
  contextBytes,
  type KeyWrapper,
  type WrapContext,
  type WrappedSecret,
  type WrappingKey,
} from '../wrapper.ts';

/** What wrapping by Vault stands on. */
export interface VaultWrapperOptions {
  readonly session: VaultSession;
  /** Where the transit engine is mounted. */
  readonly mount: string;
  /** Name of the wrapping key; its versions replace one another. */
  readonly name: string;
  /** Whatever makes versions goes one after another. */
  readonly turns: Turns;
}

const keySchema = z.object({
  data: z.object({
    type: z.string(),
    latest_version: z.int().min(1),
    /** When each version was made: Unix seconds. */
    keys: z.record(z.string(), z.number()),
  }),
});
const encryptedSchema = z.object({ data: z.object({ ciphertext: z.string() }) });
const decryptedSchema = z.object({ data: z.object({ plaintext: z.string() }) });
const nothing = z.unknown();

/** Vault's form of what it encrypted: its version, then base64. */
const CIPHERTEXT = /^vault:v(\d{1,9}):[A-Za-z0-9+/=]+$/;

/**
 * Wraps by an AES-256-GCM key of the transit engine, the context as associated data. Versions of it
 * that were replaced go on decrypting.
 */
export function createVaultWrapper(options: VaultWrapperOptions): KeyWrapper {
  const { turns } = options;
  return {
    async wrap(secret, context) {
      const key = await turns.take(() => currentOrMade(options));
      return key.ok ? encrypt(options, secret, context) : key;
    },
    unwrap: (wrapped, context) => decrypt(options, wrapped, context),
    current: () => turns.take(() => findCurrent(options)),
    rotate: () => turns.take(() => replace(options)),
  };
}

/** By the newest version, whichever that is by now: the answer says. */
async function encrypt(
  { session, mount, name }: VaultWrapperOptions,
  secret: Uint8Array,
  context: WrapContext,
): Promise<Result<WrappedSecret>> {
  const body = {
    plaintext: Buffer.from(secret).toString('base64'),
    associated_data: Buffer.from(contextBytes(context)).toString('base64'),
  };
  const path = `${mount}/encrypt/${name}`;
  const answer = await session.call(
    { operation: 'encrypt', method: 'POST', path, body },
    encryptedSchema,
  );
  if (!answer.ok) return answer;
  const { ciphertext } = answer.value.data;
  const [, version] = CIPHERTEXT.exec(ciphertext) ?? [];
  if (version === undefined) return fail('KEY_MANAGER_FAULT', 'Vault gave no ciphertext');
  return ok({ wrappingKeyId: idOf(name, version), ciphertext: Buffer.from(ciphertext, 'latin1') });
}

async function decrypt(
  { session, mount, name }: VaultWrapperOptions,
  wrapped: WrappedSecret,
  context: WrapContext,
): Promise<Result<Uint8Array>> {
  const ciphertext = Buffer.from(wrapped.ciphertext).toString('latin1');
  const [, version] = CIPHERTEXT.exec(ciphertext) ?? [];
  // By our own key only, whatever the store names.
  if (version === undefined || wrapped.wrappingKeyId !== idOf(name, version)) {
    return fail('KEY_SEAL_BROKEN', `what is to be unwrapped was not wrapped by ${name}`);
  }
  const body = {
    ciphertext,
    associated_data: Buffer.from(contextBytes(context)).toString('base64'),
  };
  const path = `${mount}/decrypt/${name}`;
  const answer = await session.call(
    { operation: 'decrypt', method: 'POST', path, body },
    decryptedSchema,
  );
  return answer.ok ? ok(Buffer.from(answer.value.data.plaintext, 'base64')) : answer;
}

async function currentOrMade(
  options: VaultWrapperOptions,
): Promise<Result<WrappingKey | undefined>> {
  const found = await findCurrent(options);
  if (!found.ok || found.value !== undefined) return found;
  const { session, mount, name } = options;
  // Vault makes none where another server was first.
  const body = { type: 'aes256-gcm96', exportable: false };
  const path = `${mount}/keys/${name}`;
  const made = await session.call({ operation: 'generate', method: 'POST', path, body }, nothing);
  return made.ok ? findCurrent(options) : made;
}

async function findCurrent({
  session,
  mount,
  name,
}: VaultWrapperOptions): Promise<Result<WrappingKey | undefined>> {
  const path = `${mount}/keys/${name}`;
  const read = await session.call({ operation: 'read', method: 'GET', path }, keySchema);
  if (!read.ok) return read.error.code === 'KEY_DELETED' ? ok(undefined) : read;
  const { type, latest_version: version, keys } = read.value.data;
  if (type !== 'aes256-gcm96') {
    return fail('KEY_ALIAS_MOVED', `key ${name} is of type ${type}: it was not made to wrap`);
  }
  return ok({ id: idOf(name, version), createdMs: (keys[version] ?? 0) * 1000 });
}

async function replace(options: VaultWrapperOptions): Promise<Result<void>> {
  const { session, mount, name } = options;
  const before = await findCurrent(options);
  if (!before.ok) return before;
  if (before.value === undefined) {
    const made = await currentOrMade(options);
    return made.ok ? ok(undefined) : made;
  }
  const path = `${mount}/keys/${name}/rotate`;
  const made = await session.call(
    // Only what certainly made no version is tried again.
    { operation: 'rotate', method: 'POST', path, repeatOn: ['KEY_MANAGER_THROTTLED'] },
    nothing,
  );
  return made.ok ? ok(undefined) : made;
}

function idOf(name: string, version: string | number): string {
  return `${name}:v${version}`;
}
