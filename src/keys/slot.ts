import { fail, ok, type Result } from '../base/result.ts';

const SLOT = /^[A-Za-z0-9-]{1,64}$/;

/** Refuses slot names that could not be a file name or an alias in every backend. */
export function checkSlot(slot: string): Result<void> {
  if (SLOT.test(slot)) return ok(undefined);
  return fail('KEY_SLOT_NAME', `key slot "${slot.slice(0, 80)}" is not [A-Za-z0-9-]{1,64}`);
}
