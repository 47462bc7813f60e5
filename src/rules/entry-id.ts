import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Longest entry ID in bytes. */
export const MAX_ENTRY_ID_BYTES = 255;

/** What the IDs of derived entries begin with; no stored entry has such an ID. */
export const DERIVED_ID_PREFIX = 'derived.';

const ENTRY_ID = /^[a-zA-Z0-9._-]+$/;

/** Checks an entry ID that an operator chose: 1 to 255 of letters, digits, dots, dashes, underscores. */
export function checkEntryId(id: string): Result<string> {
  if (id.startsWith(DERIVED_ID_PREFIX)) {
    return fail('ENTRY_ID', `entry IDs that begin with ${DERIVED_ID_PREFIX} belong to rules`);
  }
  if (id.length <= MAX_ENTRY_ID_BYTES && ENTRY_ID.test(id)) return ok(id);
  return fail('ENTRY_ID', `entry ID ${JSON.stringify(id.slice(0, 80))} is malformed`);
}

/** A new entry ID: UUID version 7 (RFC 9562 §5.7), so that IDs sort by their time of creation. */
export function newEntryId(clock: Pick<Clock, 'nowMs'>, random: Random): string {
  const time = Math.floor(clock.nowMs()).toString(16).padStart(12, '0');
  const bytes = random.bytes(10);
  bytes[0] = 0x70 | ((bytes[0] ?? 0) & 0x0f);
  bytes[2] = 0x80 | ((bytes[2] ?? 0) & 0x3f);
  const rest = toHex(bytes);
  return [time.slice(0, 8), time.slice(8), rest.slice(0, 4), rest.slice(4, 8), rest.slice(8)].join(
    '-',
  );
}
