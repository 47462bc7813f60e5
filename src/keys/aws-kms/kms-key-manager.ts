import {
  CreateAliasCommand,
  CreateKeyCommand,
  DeleteAliasCommand,
  TagResourceCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KeyManager, KeyType } from '../key-manager.ts';
import {
  type OutsideBackend,
  type OutsideOptions,
  type OutsideState,
  openOutsideKeyManager,
  outsideCapabilities,
} from '../outside/outside-key-manager.ts';
import type { HeldKey, SlotTable } from '../outside/slot-table.ts';
import { type KeyWrapper, WRAPPING_SLOT } from '../wrapper.ts';
import { listAliases } from './kms-aliases.ts';
import { KmsCalls, type KmsPlace } from './kms-calls.ts';
import { checkState, describeKey, KEY_SPECS, keyTagsOf, loadKmsKey } from './kms-key.ts';
import { aliasName, keyTags, retiredTag, slotOfAlias, slotOfTags } from './kms-names.ts';
import { scheduleDeletion, sweepKmsKeys } from './kms-sweep.ts';
import { createKmsWrapper } from './kms-wrapper.ts';

/** What a manager of keys in AWS KMS stands on. */
export interface KmsOptions extends KmsPlace, OutsideOptions {
  /** Keys without a slot are scheduled for deletion after so long; 0 never. */
  readonly sweepAfterMs: number;
}

/** Opens the keys that AWS KMS holds for an owner; they are found by their aliases. */
export function openKmsKeyManager(options: KmsOptions): Promise<Result<KeyManager>> {
  return openOutsideKeyManager(options, (state) => new KmsBackend(options, state));
}

class KmsBackend implements OutsideBackend {
  readonly name = 'aws-kms';
  readonly capabilities = outsideCapabilities({ anyHash: false });
  readonly wrapper: KeyWrapper;
  readonly daily: (() => Promise<void>) | undefined;
  readonly #options: KmsOptions;
  readonly #calls: KmsCalls;
  readonly #table: SlotTable;

  constructor(options: KmsOptions, { table, turns, paced }: OutsideState) {
    this.#options = options;
    this.#table = table;
    this.#calls = new KmsCalls(options, paced, options.pace.inFlight);
    const { owner, clock } = options;
    this.wrapper = createKmsWrapper({ calls: this.#calls, owner, clock, turns });
    this.daily = options.sweepAfterMs > 0 ? () => this.#sweep() : undefined;
  }

  async close(): Promise<void> {
    this.#calls.close();
  }

  /** Goes through the aliases of this owner; the first thing wrong is the answer, the rest is still looked at. */
  async look(): Promise<Result<void>> {
    const region = await this.#calls.checkRegion();
    if (!region.ok) return region;
    const aliases = await listAliases(this.#calls);
    if (!aliases.ok) return aliases;
    let outcome: Result<void> = ok(undefined);
    const gone = new Set(this.#table.slots());
    for (const { AliasName: alias = '', TargetKeyId: keyId } of aliases.value) {
      const slot = slotOfAlias(this.#options.owner, alias);
      if (slot === undefined || slot === WRAPPING_SLOT || keyId === undefined) continue;
      gone.delete(slot);
      const looked = await this.#lookAt(slot, keyId);
      if (outcome.ok) outcome = looked;
    }
    for (const slot of gone) {
      const lost = this.#table.get(slot)?.keyId ?? '';
      if (outcome.ok)
        outcome = fail('KEY_ALIAS_MOVED', `the alias of slot ${slot} (key ${lost}) is gone`);
    }
    return outcome;
  }

  async #lookAt(slot: string, keyId: string): Promise<Result<void>> {
    const facts = await describeKey(this.#calls, keyId);
    if (!facts.ok) return facts;
    const held = this.#table.get(slot);
    if (held?.keyId !== facts.value.KeyId) {
      const ours = await this.#isOurs(slot, facts.value.KeyId);
      if (!ours.ok) return ours;
    }
    const usable = checkState(facts.value, slot);
    if (!usable.ok || held?.keyId === facts.value.KeyId) return usable;
    const key = await loadKmsKey(this.#calls, { slot, keyId: facts.value.KeyId });
    if (!key.ok) return key;
    if (held !== undefined)
      this.#options.log.info({ slot, keyId }, 'another server replaced the key');
    this.#table.set({ key: key.value, keyId: facts.value.KeyId });
    return ok(undefined);
  }

  /** Refuses a key under one of our aliases that was not made for it. */
  async #isOurs(slot: string, keyId: string): Promise<Result<void>> {
    const tags = await keyTagsOf(this.#calls, keyId);
    if (!tags.ok) return tags;
    if (slotOfTags(this.#options.owner, tags.value) === slot) return ok(undefined);
    const held = this.#table.get(slot);
    const before = held === undefined ? '' : `; it stood for key ${held.keyId}`;
    const message = `the alias of slot ${slot} stands for key ${keyId}, which was not made for it`;
    return fail('KEY_ALIAS_MOVED', message + before);
  }

  /**
   * A new key, then the alias to it. A crash in between leaves a key without alias, which the sweep
   * finds; whoever starts after it finds the old key, or none.
   */
  async generate(slot: string, type: KeyType): Promise<Result<HeldKey>> {
    const before = await this.#behindAlias(slot);
    if (!before.ok) return before;
    const made = await this.#create(slot, type);
    if (!made.ok) return made;
    const named = await this.#name(slot, made.value, before.value);
    if (!named.ok) {
      // Nobody knows the key and it has signed nothing. Whether this works or not, the sweep is there.
      await scheduleDeletion(this.#calls, made.value.keyId);
      return named;
    }
    return made;
  }

  /** Id of the key that the slot's alias stands for now; undefined where there is no such alias. */
  async #behindAlias(slot: string): Promise<Result<string | undefined>> {
    const facts = await describeKey(this.#calls, aliasName(this.#options.owner, slot));
    if (!facts.ok) return facts.error.code === 'KEY_DELETED' ? ok(undefined) : facts;
    const ours = await this.#isOurs(slot, facts.value.KeyId);
    return ours.ok ? ok(facts.value.KeyId) : ours;
  }

  async #create(slot: string, type: KeyType): Promise<Result<HeldKey>> {
    const { owner } = this.#options;
    const created = await this.#calls.send(
      'CreateKey',
      (client, options) =>
        client.send(
          new CreateKeyCommand({
            KeySpec: KEY_SPECS[type],
            KeyUsage: 'SIGN_VERIFY',
            Description: `Signet, trust domain ${owner.trustDomain}, slot ${slot}`,
            Tags: keyTags(owner, slot),
          }),
          options,
        ),
      // Only what certainly made no key is tried again.
      ['KEY_MANAGER_THROTTLED'],
    );
    if (!created.ok) return created;
    const keyId = created.value.KeyMetadata?.KeyId;
    if (keyId === undefined) return fail('KEY_MANAGER_FAULT', 'AWS KMS answered without a key');
    const key = await loadKmsKey(this.#calls, { slot, keyId });
    return key.ok ? ok({ key: key.value, keyId }) : key;
  }

  async #name(slot: string, { keyId }: HeldKey, before: string | undefined): Promise<Result<void>> {
    const target = { AliasName: aliasName(this.#options.owner, slot), TargetKeyId: keyId };
    if (before === undefined) {
      const made = await this.#calls.send('CreateAlias', (client, options) =>
        client.send(new CreateAliasCommand(target), options),
      );
      return made.ok ? ok(undefined) : made;
    }
    // First the tag: after it the old key is still in its slot, and the sweep leaves those alone.
    const retired = retiredTag(this.#options.clock.nowMs());
    const tagged = await this.#calls.send('TagResource', (client, options) =>
      client.send(new TagResourceCommand({ KeyId: before, Tags: [retired] }), options),
    );
    // A key on its way out takes no tag, and needs none.
    if (!tagged.ok && tagged.error.code !== 'KEY_DELETED') return tagged;
    const moved = await this.#calls.send('UpdateAlias', (client, options) =>
      client.send(new UpdateAliasCommand(target), options),
    );
    return moved.ok ? ok(undefined) : moved;
  }

  /** First the alias: a crash after it leaves a key without a slot, for the sweep. */
  async release(slot: string, held: HeldKey): Promise<Result<void>> {
    const behind = await this.#behindAlias(slot);
    if (!behind.ok) return behind;
    if (behind.value === held.keyId) {
      const unnamed = await this.#calls.send('DeleteAlias', (client, options) =>
        client.send(
          new DeleteAliasCommand({ AliasName: aliasName(this.#options.owner, slot) }),
          options,
        ),
      );
      if (!unnamed.ok) return unnamed;
    }
    this.#table.delete(slot);
    const scheduled = await scheduleDeletion(this.#calls, held.keyId);
    if (!scheduled.ok && scheduled.error.code !== 'KEY_DELETED') return scheduled;
    return ok(undefined);
  }

  async #sweep(): Promise<void> {
    const { owner, clock, log, sweepAfterMs } = this.#options;
    const swept = await sweepKmsKeys({
      calls: this.#calls,
      owner,
      nowMs: clock.nowMs(),
      ageMs: sweepAfterMs,
      held: this.#table.keyIds(),
    });
    if (!swept.ok) log.warn({ code: swept.error.code, reason: swept.error.message }, 'key sweep');
    else if (swept.value.length > 0)
      log.info({ keyIds: swept.value }, 'keys scheduled for deletion');
  }
}
