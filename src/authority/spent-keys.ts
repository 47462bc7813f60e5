import { ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import type { Logger } from '../runtime/log.ts';
import { holdsKey, keysOf } from './authority-record.ts';
import { AUTHORITY_KINDS, type JournalEntry } from './journal.ts';
import { SLOTS } from './schedule.ts';

/** Where keys are given up. */
export interface SpentKeysOptions {
  readonly keys: KeyManager;
  readonly jwtKeys?: KeyManager | undefined;
  readonly log: Logger;
}

/**
 * Gives up the keys of authorities that never sign again, where no successor has their slot. The
 * journal says first that they are spent, so a crash in between leaves this to the next start.
 */
export async function releaseKeys(
  options: SpentKeysOptions,
  entries: readonly JournalEntry[],
): Promise<Result<void>> {
  for (const entry of entries.filter(({ state }) => state === 'revoked' || state === 'expired')) {
    const keys = keysOf(options, entry.kind);
    if (!holdsKey(keys, entry)) continue;
    const released = await release(options, keys, entry.slot);
    if (!released.ok) return released;
  }
  return ok(undefined);
}

/** Backends that no other server can be in the middle of making a key in. */
const EXCLUSIVE: readonly string[] = ['disk', 'memory'];

/**
 * Gives up keys that no entry names: a crash came between the key and its entry. In a key manager
 * that servers share, such a key may be another server's next one; there the next try replaces it.
 */
export async function releaseOrphans(
  options: SpentKeysOptions,
  entries: readonly JournalEntry[],
): Promise<Result<void>> {
  for (const kind of AUTHORITY_KINDS) {
    const keys = keysOf(options, kind);
    if (!EXCLUSIVE.includes(keys.name)) continue;
    for (const slot of SLOTS[kind]) {
      const named = entries.some(
        (entry) => entry.kind === kind && entry.slot === slot && holdsKey(keys, entry),
      );
      if (named || keys.get(slot) === undefined) continue;
      const released = await release(options, keys, slot);
      if (!released.ok) return released;
    }
  }
  return ok(undefined);
}

async function release(
  { log }: SpentKeysOptions,
  keys: KeyManager,
  slot: string,
): Promise<Result<void>> {
  const released = await keys.release(slot);
  if (released.ok) log.info({ slot }, 'key of an authority given up');
  return released;
}
