/** Keys in order, for lists: sorted when read, not when written. */
export class SortedKeys {
  #sorted: string[];
  /** Whether `#sorted` is in order and free of doubles; the store answers in order already. */
  #clean = false;
  readonly #added = new Set<string>();

  constructor(keys: string[]) {
    this.#sorted = keys;
  }

  /** Adds a key; one that is there stays. */
  add(key: string): void {
    this.#added.add(key);
  }

  /**
   * Keys after `after` in order. Keys that were taken out may still be among them: the reader skips
   * what it does not find.
   */
  *after(after: string, isKept: (key: string) => boolean): Generator<string> {
    this.#merge(isKept);
    const keys = this.#sorted;
    for (let index = firstAfter(keys, after); index < keys.length; index++) {
      const key = keys[index];
      if (key !== undefined) yield key;
    }
  }

  #merge(isKept: (key: string) => boolean): void {
    if (this.#clean && this.#added.size === 0) return;
    const kept = this.#sorted.filter((key) => !this.#added.has(key) && isKept(key));
    for (const key of this.#added) if (isKept(key)) kept.push(key);
    // Nearly sorted already, which the engine's merge sort makes cheap.
    this.#sorted = kept.sort(compare);
    this.#added.clear();
    this.#clean = true;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function firstAfter(keys: readonly string[], after: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
