import { ListKeysCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { ok, type Result } from '../../base/result.ts';
import { WRAPPING_SLOT } from '../wrapper.ts';
import { listAliases } from './kms-aliases.ts';
import type { KmsCalls } from './kms-calls.ts';
import { describeKey, keyTagsOf } from './kms-key.ts';
import { type KeyOwner, retiredAtMs, slotOfTags } from './kms-names.ts';

/** Least that KMS lets pass before a key is really gone; until then it can be taken back. */
const PENDING_DAYS = 7;
const PAGE = 1000;

/** What is swept. */
export interface KmsSweep {
  readonly calls: KmsCalls;
  readonly owner: KeyOwner;
  readonly nowMs: number;
  /** A key is swept when it has been without a slot for so long. */
  readonly ageMs: number;
  /** Keys that this process holds, whatever their aliases say. */
  readonly held: ReadonlySet<string>;
}

/**
 * Schedules keys for deletion that are of no use any more: tagged as this owner's, under no alias, held
 * by nobody here, and without a slot for longer than the age. Keys that a crash left between their
 * making and their alias are found so too. Answers the ids of those scheduled. Any refusal ends it.
 */
export async function sweepKmsKeys(sweep: KmsSweep): Promise<Result<readonly string[]>> {
  const { calls, held } = sweep;
  const aliases = await listAliases(calls);
  if (!aliases.ok) return aliases;
  const named = new Set(aliases.value.map(({ TargetKeyId }) => TargetKeyId));
  const keys = await listKeys(calls);
  if (!keys.ok) return keys;
  const swept: string[] = [];
  for (const keyId of keys.value) {
    if (named.has(keyId) || held.has(keyId)) continue;
    const due = await isDue(sweep, keyId);
    if (!due.ok) return due;
    if (!due.value) continue;
    const done = await scheduleDeletion(calls, keyId);
    if (!done.ok) return done;
    swept.push(keyId);
  }
  return ok(swept);
}

/** Schedules the deletion of a key. */
export async function scheduleDeletion(calls: KmsCalls, keyId: string): Promise<Result<void>> {
  const done = await calls.send('ScheduleKeyDeletion', (client, options) =>
    client.send(
      new ScheduleKeyDeletionCommand({ KeyId: keyId, PendingWindowInDays: PENDING_DAYS }),
      options,
    ),
  );
  return done.ok ? ok(undefined) : done;
}

async function isDue(sweep: KmsSweep, keyId: string): Promise<Result<boolean>> {
  const { calls, owner, nowMs, ageMs } = sweep;
  const tags = await keyTagsOf(calls, keyId);
  if (!tags.ok) return notOurs(tags);
  const slot = slotOfTags(owner, tags.value);
  // A wrapping key that was replaced still opens what backups hold.
  if (slot === undefined || slot === WRAPPING_SLOT) return ok(false);
  const facts = await describeKey(calls, keyId);
  if (!facts.ok) return notOurs(facts);
  const { KeyState: state, CreationDate: created } = facts.value;
  if ((state !== 'Enabled' && state !== 'Disabled') || created === undefined) return ok(false);
  if (nowMs - Math.max(created.getTime(), retiredAtMs(tags.value)) < ageMs) return ok(false);
  // Once more, of this very key: another server may have named it since the list was read.
  const aliases = await listAliases(calls, keyId);
  return aliases.ok ? ok(aliases.value.length === 0) : aliases;
}

/** A key that we may not look at, or that is gone by now, is none to sweep. */
function notOurs(refused: Result<never> & { readonly ok: false }): Result<boolean> {
  const { code } = refused.error;
  return code === 'KEY_PERMISSION' || code === 'KEY_DELETED' ? ok(false) : refused;
}

/** Ids of every key of the account. */
export async function listKeys(calls: KmsCalls): Promise<Result<readonly string[]>> {
  const found: string[] = [];
  for (let marker: string | undefined; ; ) {
    const at = marker;
    const page = await calls.send('ListKeys', (client, options) =>
      client.send(
        new ListKeysCommand({ Limit: PAGE, ...(at === undefined ? {} : { Marker: at }) }),
        options,
      ),
    );
    if (!page.ok) return page;
    for (const { KeyId: keyId } of page.value.Keys ?? [])
      if (keyId !== undefined) found.push(keyId);
    marker = page.value.Truncated === true ? page.value.NextMarker : undefined;
    if (marker === undefined) return ok(found);
  }
}
