import type { SignetError } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import type { SigningKey } from '../key-manager.ts';

/** A key in a slot, with the name it has in its key manager. */
export interface HeldKey {
  readonly key: SigningKey;
  /** Key id, handle or version: whatever tells two keys of one slot apart. */
  readonly keyId: string;
}

/** The slots that a manager outside the process has filled, and what is wrong with them. */
export class SlotTable {
  readonly #held = new Map<string, HeldKey>();
  #problem: SignetError | undefined;

  get(slot: string): HeldKey | undefined {
    return this.#held.get(slot);
  }

  set(held: HeldKey): void {
    this.#held.set(held.key.slot, held);
  }

  delete(slot: string): void {
    this.#held.delete(slot);
  }

  clear(): void {
    this.#held.clear();
  }

  slots(): readonly string[] {
    return [...this.#held.keys()];
  }

  keys(): readonly SigningKey[] {
    return [...this.#held.values()].map(({ key }) => key);
  }

  keyIds(): ReadonlySet<string> {
    return new Set([...this.#held.values()].map(({ keyId }) => keyId));
  }

  /** Notes the outcome of a look at what is behind the slots. */
  note(found: Result<void>): Result<void> {
    this.#problem = found.ok ? undefined : found.error;
    return found;
  }

  /** The outcome of the last look. */
  standing(): Result<void> {
    return this.#problem === undefined ? ok(undefined) : { ok: false, error: this.#problem };
  }
}
