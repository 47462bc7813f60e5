import { ok, type Result } from '../base/result.ts';
import type { KeptValue, KeptValueStore } from './kept-values.ts';

/** The kept values of the store in memory, for reading; writes go through to it. */
export class KeptView {
  readonly #store: KeptValueStore;
  readonly #values = new Map<string, KeptValue>();

  private constructor(store: KeptValueStore) {
    this.#store = store;
  }

  /** Reads all there are. */
  static async open(store: KeptValueStore): Promise<Result<KeptView>> {
    const view = new KeptView(store);
    const loaded = await view.refresh();
    return loaded.ok ? ok(view) : loaded;
  }

  /** As it was read or written last. */
  get(name: string): KeptValue | undefined {
    return this.#values.get(name);
  }

  /** Values whose names begin so. */
  list(prefix: string): readonly KeptValue[] {
    return [...this.#values.values()].filter(({ name }) => name.startsWith(prefix));
  }

  /**
   * Writes a value over the one that the view shows, or takes it away. Where the store holds another
   * it is STORE_CONFLICT, and the view shows what the store holds: begin anew from that.
   */
  async write(name: string, value: Uint8Array | undefined): Promise<Result<void>> {
    const expectedVersion = this.#values.get(name)?.version ?? 0n;
    const written = await this.#store.writeKeptValue({ name, expectedVersion, value });
    if (!written.ok) {
      // After any failure: the reply may be lost and the commit done.
      const refreshed = await this.refresh();
      return refreshed.ok ? written : refreshed;
    }
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, { name, version: written.value, value });
    return ok(undefined);
  }

  /** Reads the store again. */
  async refresh(): Promise<Result<void>> {
    const loaded = await this.#store.loadKeptValues();
    if (!loaded.ok) return loaded;
    this.#values.clear();
    for (const value of loaded.value) this.#values.set(value.name, value);
    return ok(undefined);
  }
}
