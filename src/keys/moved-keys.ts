import type { Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { KeyManager, KeyType, SigningKey } from './key-manager.ts';

/** Where keys are made from now on, and where those of before may still be. */
export interface MovedKeysOptions {
  readonly current: KeyManager;
  readonly former: KeyManager;
  readonly log: Logger;
}

/** Keys of two managers as of one. */
export interface MovedKeys extends KeyManager {
  /** Whether the key of a slot is still where keys were before. */
  isFormer(slot: string): boolean;
}

/**
 * Keys that move from one manager to another by being replaced: what a slot had before signs on until it
 * has a key in the current one. Closing is left to those who opened the two.
 */
export function createMovedKeys({ current, former, log }: MovedKeysOptions): MovedKeys {
  const isFormer = (slot: string): boolean =>
    current.get(slot) === undefined && former.get(slot) !== undefined;
  const generate = async (slot: string, type: KeyType): Promise<Result<SigningKey>> => {
    const made = await current.generate(slot, type);
    if (!made.ok) return made;
    // Nobody signs with what was in the slot before. Where this fails it stays, and is of no use.
    const released = await former.release(slot);
    if (!released.ok) log.warn({ slot, code: released.error.code }, 'former key not given up');
    return made;
  };
  return {
    name: current.name,
    capabilities: current.capabilities,
    wrapper: current.wrapper,
    generate,
    isFormer,
    get: (slot) => current.get(slot) ?? former.get(slot),
    list: () => [...current.list(), ...former.list().filter(({ slot }) => isFormer(slot))],
    release: (slot) => (isFormer(slot) ? former : current).release(slot),
    // What was there before is read once: nothing new comes to it, and it may be away.
    refresh: () => current.refresh(),
    standing: () => current.standing(),
    close: async () => {},
  };
}
