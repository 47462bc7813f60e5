import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';

/** CKA_ID: time of making in milliseconds, then random octets that tell two of one moment apart. */
const TIME_BYTES = 6;
const ID_BYTES = 14;

/** Whether an object was made by us. */
export function isTokenId(id: Uint8Array): boolean {
  return id.length === ID_BYTES;
}

/**
 * Draws the CKA_ID of an object to be made.
 *
 * @param last That of the newest of its kind: never before it, whatever happened to the clock.
 */
export function drawTokenId(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  last: Uint8Array | undefined,
): Uint8Array {
  const lastMs = last === undefined ? 0 : madeAtMs(last);
  const id = Buffer.concat([Buffer.alloc(TIME_BYTES), random.bytes(ID_BYTES - TIME_BYTES)]);
  id.writeUIntBE(Math.max(clock.nowMs(), lastMs + 1), 0, TIME_BYTES);
  return id;
}

/** When an object was made, Unix milliseconds, by its CKA_ID. */
export function madeAtMs(id: Uint8Array): number {
  return Buffer.from(id).readUIntBE(0, TIME_BYTES);
}

/** Orders objects by age, oldest first. */
export function byId(a: { readonly id: Uint8Array }, b: { readonly id: Uint8Array }): number {
  return Buffer.compare(a.id, b.id);
}
