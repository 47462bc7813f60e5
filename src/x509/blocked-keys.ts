import { hash } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { PUBLISHED_KEYS } from './published-keys.ts';
import type { PublicKey } from './types.ts';

/** Keys that nothing is issued for: SHA-256 of each SubjectPublicKeyInfo DER, lowercase hex. */
export type BlockedKeys = ReadonlySet<string>;

/** What is blocked where the configuration names no list: keys that anyone can read. */
export const PUBLISHED_BLOCKED_KEYS: BlockedKeys = new Set(PUBLISHED_KEYS);

/** Most keys in a list; every signing thread holds it. */
export const MAX_BLOCKED_KEYS = 100_000;

/**
 * Reads a list of blocked keys: one SHA-256 in hex a line, anything from `#` on left out, and adds it
 * to what is always blocked. Errors: KEY_BLOCKLIST with the number of the line.
 */
export function parseBlockedKeys(text: string): Result<BlockedKeys> {
  const blocked = new Set(PUBLISHED_BLOCKED_KEYS);
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.replace(/#.*/, '').trim().toLowerCase();
    if (entry === '') continue;
    if (!/^[0-9a-f]{64}$/.test(entry)) {
      return fail('KEY_BLOCKLIST', `line ${index + 1}: not a SHA-256 of 64 hex digits`);
    }
    blocked.add(entry);
  }
  return blocked.size <= MAX_BLOCKED_KEYS
    ? ok(blocked)
    : fail('KEY_BLOCKLIST', `more than ${MAX_BLOCKED_KEYS} keys`);
}

/** Refuses a key of the list with KEY_BLOCKED. */
export function checkNotBlocked(publicKey: PublicKey, blocked: BlockedKeys): Result<void> {
  const digest = hash('sha256', publicKey.spki, 'hex');
  return blocked.has(digest)
    ? fail('KEY_BLOCKED', `key policy: the key with SHA-256 ${digest} is blocked`)
    : ok(undefined);
}
