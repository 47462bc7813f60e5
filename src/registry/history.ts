import type { Entry } from '../rules/entry.ts';

/** Changes remembered for push streams that come back. */
const MAX_REMEMBERED = 8192;

/** One change of an entry, as far as it tells who has to hear of it. */
interface Remembered {
  /** A reader that stands before it has to hear of it. */
  readonly sequence: bigint;
  readonly entryId: string;
  /** Where the entry hung before. */
  readonly oldParentUri: string | undefined;
  /** What hung below the entry hung below this. */
  readonly oldSpiffeUri: string | undefined;
  /** Whether it changed who reaches what else. */
  readonly structural: boolean;
}

/** The latest changes of entries, so that a stream that was cut briefly gets a delta. */
export class History {
  #changes: Remembered[] = [];
  /** Everything after this is remembered. */
  #from: bigint;

  constructor(from: bigint) {
    this.#from = from;
  }

  /** Remembers a change. */
  push(sequence: bigint, before: Entry | undefined, after: Entry | undefined, leaf: boolean): void {
    const entryId = (after ?? before)?.id;
    if (entryId === undefined) return;
    const oldParentUri = before?.parentId.uri;
    const oldSpiffeUri = before?.spiffeId.uri;
    this.#changes.push({ sequence, entryId, oldParentUri, oldSpiffeUri, structural: !leaf });
    if (this.#changes.length >= 2 * MAX_REMEMBERED) this.#forget();
  }

  /**
   * Entries that changed after `revision`, each with the parents that it hung below before; undefined
   * when what changed cannot be told entry by entry.
   */
  since(revision: bigint): ReadonlyMap<string, readonly string[]> | undefined {
    if (revision < this.#from) return undefined;
    const changed = new Map<string, string[]>();
    const oldUris = new Set<string>();
    for (let index = this.#changes.length - 1; index >= 0; index--) {
      const change = this.#changes[index];
      if (change === undefined || change.sequence <= revision) break;
      if (change.structural) return undefined;
      const parents = changed.get(change.entryId) ?? [];
      if (change.oldParentUri !== undefined) parents.push(change.oldParentUri);
      changed.set(change.entryId, parents);
      if (change.oldSpiffeUri !== undefined) oldUris.add(change.oldSpiffeUri);
    }
    // Of what hung below an entry that is gone or elsewhere now, nobody can say any more who had it.
    const isSevered = [...changed.values()].flat().some((parent) => oldUris.has(parent));
    return isSevered ? undefined : changed;
  }

  #forget(): void {
    const dropped = this.#changes.length - MAX_REMEMBERED;
    this.#from = this.#changes[dropped - 1]?.sequence ?? this.#from;
    this.#changes = this.#changes.slice(dropped);
  }
}
