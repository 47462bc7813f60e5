import { fail, ok } from '../../src/base/result.ts';
import type { KeptValue, KeptValueStore } from '../../src/store/kept-values.ts';

/** The kept values of a store in memory, with the compare-and-swap of the real one. */
export class MemoryKeptStore implements KeptValueStore {
  readonly values = new Map<string, KeptValue>();

  loadKeptValues: KeptValueStore['loadKeptValues'] = async () => ok([...this.values.values()]);

  writeKeptValue: KeptValueStore['writeKeptValue'] = async ({ name, expectedVersion, value }) => {
    const stored = this.values.get(name)?.version ?? 0n;
    if (stored !== expectedVersion) return fail('STORE_CONFLICT', 'another was written meanwhile');
    if (value === undefined) {
      this.values.delete(name);
      return ok(0n);
    }
    this.values.set(name, { name, version: stored + 1n, value });
    return ok(stored + 1n);
  };
}
