/** Several values for one key, without a set where there is one value only: most keys have one. */
export class MultiMap<V extends object> {
  readonly #values = new Map<string, V | Set<V>>();

  /** Whether the key has a value. */
  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** The values of a key, in the order they came. */
  get(key: string): Iterable<V> {
    const held = this.#values.get(key);
    if (held === undefined) return [];
    return held instanceof Set ? held : [held];
  }

  /** Takes out everything. */
  clear(): void {
    this.#values.clear();
  }

  /** Adds a value to a key. */
  add(key: string, value: V): void {
    const held = this.#values.get(key);
    if (held === undefined) this.#values.set(key, value);
    else if (held instanceof Set) held.add(value);
    else if (held !== value) this.#values.set(key, new Set([held, value]));
  }

  /** Takes a value from a key. */
  remove(key: string, value: V): void {
    const held = this.#values.get(key);
    if (held instanceof Set) {
      held.delete(value);
      const [first] = held;
      if (held.size === 1 && first !== undefined) this.#values.set(key, first);
    } else if (held === value) {
      this.#values.delete(key);
    }
  }
}
