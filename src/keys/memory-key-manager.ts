import { ok, type Result } from '../base/result.ts';
import type { KeyManager, KeyType, SigningKey } from './key-manager.ts';
import { generateLocalKey, localCapabilities } from './local-key.ts';
import { checkSlot } from './slot.ts';

/** Keys that end with the process. */
export function createMemoryKeyManager(): KeyManager {
  const keys = new Map<string, SigningKey>();
  return {
    name: 'memory',
    capabilities: localCapabilities({ persistent: false }),
    async generate(slot: string, type: KeyType): Promise<Result<SigningKey>> {
      const named = checkSlot(slot);
      if (!named.ok) return named;
      const made = await generateLocalKey(slot, type);
      if (made.ok) keys.set(slot, made.value);
      return made;
    },
    get: (slot) => keys.get(slot),
    list: () => [...keys.values()],
    async release(slot) {
      keys.delete(slot);
      return ok(undefined);
    },
    refresh: async () => ok(undefined),
    standing: () => ok(undefined),
    async close() {
      keys.clear();
    },
  };
}
