import type { Result } from '../base/result.ts';
import { listPage } from './listing.ts';
import type { Page, PageQuery } from './registry.ts';
import { SortedKeys } from './sorted-keys.ts';

/** Values by their names, and the names in order. */
export class ByName<T> {
  readonly values = new Map<string, T>();
  #names = new SortedKeys([]);

  /** Takes in a value as it stands now; undefined where it is gone. */
  put(name: string, value: T | undefined): void {
    if (value === undefined) this.values.delete(name);
    else {
      if (!this.values.has(name)) this.#names.add(name);
      this.values.set(name, value);
    }
  }

  /** Forgets all. */
  clear(): void {
    this.values.clear();
    this.#names = new SortedKeys([]);
  }

  /** One page of those that match, in the order of their names. Fails with PAGE_TOKEN. */
  page(
    query: PageQuery,
    keyOf: (value: T) => string,
    matches: (value: T) => boolean = () => true,
  ): Result<Page<T>> {
    const get = (name: string): T | undefined => this.values.get(name);
    const source = { keys: this.#names, get, matches, keyOf, candidates: undefined };
    return listPage(source, query);
  }
}
