import { type KubeObject, keyOf, metaOf } from './objects.ts';

/** One change of what a watch holds, in the order in which it happened. */
export type KubeChange<T> =
  | {
      readonly kind: 'put';
      readonly key: string;
      readonly uid: string;
      readonly value: T;
      /** What was held before, if anything. */
      readonly before: T | undefined;
    }
  | { readonly kind: 'delete'; readonly key: string; readonly uid: string; readonly before: T }
  /** The first list is complete. */
  | { readonly kind: 'synced' };

interface Held<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly value: T;
}

/** What a watch holds: of each object what the projection keeps, and nothing else. */
export class ObjectCache<T> {
  readonly #project: (object: KubeObject) => T | undefined;
  readonly #tell: (change: KubeChange<T>) => void;
  readonly #held = new Map<string, Held<T>>();

  /**
   * @param project What is kept of an object; undefined where it is not wanted.
   * @param tell Hears of each change, after it was made.
   */
  constructor(
    project: (object: KubeObject) => T | undefined,
    tell: (change: KubeChange<T>) => void,
  ) {
    this.#project = project;
    this.#tell = tell;
  }

  get size(): number {
    return this.#held.size;
  }

  get(key: string): T | undefined {
    return this.#held.get(key)?.value;
  }

  *entries(): Generator<readonly [string, T]> {
    for (const [key, { value }] of this.#held) yield [key, value];
  }

  /** Takes an object as it stands now; answers with its key. */
  put(object: KubeObject): string {
    const meta = metaOf(object);
    const key = keyOf(meta);
    const { uid, resourceVersion } = meta;
    const before = this.#held.get(key);
    // What has no name can neither be asked for nor be deleted.
    if (meta.name === '') return key;
    // Listed again, and nothing has happened to it.
    if (before?.uid === uid && before.resourceVersion === resourceVersion) return key;
    const value = this.#project(object);
    // The name is in use again: whoever bore it before is gone, though nobody said so.
    const another = before !== undefined && before.uid !== uid;
    if (value === undefined || another) this.remove(key);
    if (value === undefined) return key;
    this.#held.set(key, { uid, resourceVersion, value });
    this.#tell({ kind: 'put', key, uid, value, before: another ? undefined : before?.value });
    return key;
  }

  /** Lets an object go, if it is held. */
  remove(key: string): void {
    const before = this.#held.get(key);
    if (before === undefined || !this.#held.delete(key)) return;
    this.#tell({ kind: 'delete', key, uid: before.uid, before: before.value });
  }

  /** Lets go what a whole list did not name: it was deleted while nobody looked. */
  keepOnly(listed: ReadonlySet<string>): void {
    for (const key of [...this.#held.keys()]) if (!listed.has(key)) this.remove(key);
  }
}
