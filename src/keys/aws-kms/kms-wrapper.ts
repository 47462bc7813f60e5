import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  TagResourceCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Turns } from '../outside/turns.ts';
import {
  contextPairs,
  type KeyWrapper,
  WRAPPING_SLOT,
  type WrapContext,
  type WrappedSecret,
  type WrappingKey,
} from '../wrapper.ts';
import { listAliases } from './kms-aliases.ts';
import type { KmsCalls } from './kms-calls.ts';
import { checkState, describeKey, type KeyFacts, keyTagsOf } from './kms-key.ts';
import {
  aliasName,
  type KeyOwner,
  keyTags,
  retiredAtMs,
  retiredTag,
  slotOfTags,
} from './kms-names.ts';
import { listKeys } from './kms-sweep.ts';

/** What wrapping by AWS KMS stands on. */
export interface KmsWrapperOptions {
  readonly calls: KmsCalls;
  readonly owner: KeyOwner;
  readonly clock: Clock;
  /** Whatever moves aliases goes one after another. */
  readonly turns: Turns;
}

/**
 * Wraps by a symmetric key of KMS under the alias of its slot, found again after a restart as signing
 * keys are. The context is KMS's encryption context: authenticated there, and in CloudTrail.
 */
export function createKmsWrapper(options: KmsWrapperOptions): KeyWrapper {
  const { calls, turns } = options;
  return {
    async wrap(secret, context) {
      const key = await turns.take(() => currentOrMade(options));
      return key.ok ? encrypt(calls, { keyId: key.value.id, secret, context }) : key;
    },
    unwrap: (wrapped, context) => decrypt(calls, wrapped, context),
    current: () => turns.take(() => findCurrent(options)),
    rotate: () => turns.take(() => replace(options)),
  };
}

async function encrypt(
  calls: KmsCalls,
  order: { readonly keyId: string; readonly secret: Uint8Array; readonly context: WrapContext },
): Promise<Result<WrappedSecret>> {
  const { keyId, secret, context } = order;
  const command = new EncryptCommand({
    KeyId: keyId,
    Plaintext: secret,
    EncryptionContext: contextPairs(context),
  });
  const answer = await calls.send('Encrypt', (client, options) => client.send(command, options));
  if (!answer.ok) return answer;
  const { CiphertextBlob: ciphertext } = answer.value;
  if (ciphertext === undefined) return fail('KEY_MANAGER_FAULT', 'AWS KMS answered without text');
  return ok({ wrappingKeyId: keyId, ciphertext });
}

async function decrypt(
  calls: KmsCalls,
  { wrappingKeyId, ciphertext }: WrappedSecret,
  context: WrapContext,
): Promise<Result<Uint8Array>> {
  // By the key that is said to have wrapped it: KMS refuses what another key wrapped.
  const command = new DecryptCommand({
    KeyId: wrappingKeyId,
    CiphertextBlob: ciphertext,
    EncryptionContext: contextPairs(context),
  });
  const answer = await calls.send('Decrypt', (client, options) => client.send(command, options));
  if (!answer.ok) return answer;
  const { Plaintext: secret } = answer.value;
  return secret === undefined
    ? fail('KEY_MANAGER_FAULT', 'AWS KMS answered without text')
    : ok(secret);
}

async function currentOrMade(options: KmsWrapperOptions): Promise<Result<WrappingKey>> {
  const found = await findCurrent(options);
  if (!found.ok) return found;
  if (found.value !== undefined) return ok(found.value);
  // A crash between making a key and naming it left one: it is taken, so that none are left to pile up.
  const orphan = await findUnnamed(options);
  if (!orphan.ok) return orphan;
  const keyId = orphan.value === undefined ? await create(options) : ok(orphan.value);
  if (!keyId.ok) return keyId;
  const named = await name(options, keyId.value, 'make');
  const after = await findCurrent(options);
  // Where naming failed because another server was first, its key is the one.
  if (after.ok && after.value !== undefined) return ok(after.value);
  if (!named.ok) return named;
  return after.ok ? fail('KEY_UNAVAILABLE', 'the wrapping key is not known everywhere yet') : after;
}

/** The key behind the alias; refuses one that was not made to wrap, or cannot. */
async function findCurrent(options: KmsWrapperOptions): Promise<Result<WrappingKey | undefined>> {
  const { calls, owner } = options;
  const facts = await describeKey(calls, aliasName(owner, WRAPPING_SLOT));
  if (!facts.ok) return facts.error.code === 'KEY_DELETED' ? ok(undefined) : facts;
  const { KeyId: id, CreationDate: created } = facts.value;
  const tags = await keyTagsOf(calls, id);
  if (!tags.ok) return tags;
  if (slotOfTags(owner, tags.value) !== WRAPPING_SLOT || !wraps(facts.value)) {
    const message = `the alias of slot ${WRAPPING_SLOT} stands for key ${id}, which was not made for it`;
    return fail('KEY_ALIAS_MOVED', message);
  }
  const usable = checkState(facts.value, WRAPPING_SLOT);
  return usable.ok ? ok({ id, createdMs: created?.getTime() ?? 0 }) : usable;
}

function wraps({ KeyUsage: usage, KeySpec: spec }: KeyFacts): boolean {
  return usage === 'ENCRYPT_DECRYPT' && spec === 'SYMMETRIC_DEFAULT';
}

/** A wrapping key of this owner without a name that never lost one. */
async function findUnnamed(options: KmsWrapperOptions): Promise<Result<string | undefined>> {
  const { calls, owner } = options;
  const keys = await listKeys(calls);
  if (!keys.ok) return keys;
  for (const keyId of keys.value) {
    const tags = await keyTagsOf(calls, keyId);
    // A key of others, which we may not look at, is none of ours.
    if (!tags.ok && tags.error.code !== 'KEY_PERMISSION' && tags.error.code !== 'KEY_DELETED') {
      return tags;
    }
    if (!tags.ok || slotOfTags(owner, tags.value) !== WRAPPING_SLOT) continue;
    const facts = await describeKey(calls, keyId);
    const aliases = facts.ok ? await listAliases(calls, keyId) : facts;
    if (!facts.ok || !aliases.ok) return facts.ok ? ok(undefined) : facts;
    const isFree = aliases.value.length === 0 && retiredAtMs(tags.value) === 0;
    if (isFree && wraps(facts.value) && facts.value.KeyState === 'Enabled') return ok(keyId);
  }
  return ok(undefined);
}

async function create({ calls, owner }: KmsWrapperOptions): Promise<Result<string>> {
  const command = new CreateKeyCommand({
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyUsage: 'ENCRYPT_DECRYPT',
    Description: `Signet, trust domain ${owner.trustDomain}, wraps sealed keys`,
    Tags: keyTags(owner, WRAPPING_SLOT),
  });
  const made = await calls.send(
    'CreateKey',
    (client, options) => client.send(command, options),
    // Only what certainly made no key is tried again.
    ['KEY_MANAGER_THROTTLED'],
  );
  if (!made.ok) return made;
  const keyId = made.value.KeyMetadata?.KeyId;
  return keyId === undefined
    ? fail('KEY_MANAGER_FAULT', 'AWS KMS answered without a key')
    : ok(keyId);
}

async function name(
  { calls, owner }: KmsWrapperOptions,
  keyId: string,
  how: 'make' | 'move',
): Promise<Result<void>> {
  const target = { AliasName: aliasName(owner, WRAPPING_SLOT), TargetKeyId: keyId };
  const done =
    how === 'make'
      ? await calls.send('CreateAlias', (client, options) =>
          client.send(new CreateAliasCommand(target), options),
        )
      : await calls.send('UpdateAlias', (client, options) =>
          client.send(new UpdateAliasCommand(target), options),
        );
  return done.ok ? ok(undefined) : done;
}

/** First the mark of the old one: after a crash it is still in its place, and the new one is taken up. */
async function replace(options: KmsWrapperOptions): Promise<Result<void>> {
  const { calls, clock } = options;
  const before = await findCurrent(options);
  if (!before.ok) return before;
  if (before.value === undefined) {
    const made = await currentOrMade(options);
    return made.ok ? ok(undefined) : made;
  }
  const { id } = before.value;
  const unnamed = await findUnnamed(options);
  if (!unnamed.ok) return unnamed;
  const made = unnamed.value === undefined ? await create(options) : ok(unnamed.value);
  if (!made.ok) return made;
  const retired = retiredTag(clock.nowMs());
  const tagged = await calls.send('TagResource', (client, sendOptions) =>
    client.send(new TagResourceCommand({ KeyId: id, Tags: [retired] }), sendOptions),
  );
  return tagged.ok ? name(options, made.value, 'move') : tagged;
}
