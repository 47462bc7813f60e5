import { type AgentEntry, compareEntries, withUniqueHints } from './entry.ts';

/** What a change did to the set. */
export interface EntryChange {
  /** Entries that are new or different, as they are now. */
  readonly upserted: readonly AgentEntry[];
  /** Entries that are gone, or different, as they were. */
  readonly replaced: readonly AgentEntry[];
  /** Ids of entries that are gone. */
  readonly removedIds: readonly string[];
}

/**
 * The entries that this node is authorised for. Each stands in an index under one of its selectors,
 * so that finding a process's entries costs its selectors and not all entries.
 */
export class EntrySet {
  readonly #byId = new Map<string, AgentEntry>();
  readonly #byAnchor = new Map<string, Set<AgentEntry>>();

  /** How many entries there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** The entry with this id. */
  get(id: string): AgentEntry | undefined {
    return this.#byId.get(id);
  }

  /** The ids of all entries. */
  ids(): Iterable<string> {
    return this.#byId.keys();
  }

  /** All entries, in no order. */
  values(): Iterable<AgentEntry> {
    return this.#byId.values();
  }

  /** Makes the set exactly these entries. */
  replaceAll(entries: readonly AgentEntry[]): EntryChange {
    const keep = new Set(entries.map(({ id }) => id));
    const gone = [...this.#byId.keys()].filter((id) => !keep.has(id));
    return this.apply(entries, gone);
  }

  /** Adds or replaces entries and removes others; what is as it was is no change. */
  apply(upserts: readonly AgentEntry[], deletedIds: readonly string[]): EntryChange {
    const upserted: AgentEntry[] = [];
    const replaced: AgentEntry[] = [];
    const removedIds: string[] = [];
    for (const id of deletedIds) {
      const old = this.#remove(id);
      if (old === undefined) continue;
      replaced.push(old);
      removedIds.push(id);
    }
    for (const entry of upserts) {
      const held = this.#byId.get(entry.id);
      if (held !== undefined && isSameVersion(held, entry)) continue;
      const old = this.#remove(entry.id);
      if (old !== undefined) replaced.push(old);
      this.#add(entry);
      upserted.push(entry);
    }
    return { upserted, replaced, removedIds };
  }

  /** Entries whose selectors are all present, in serving order, hints made unique. */
  match(present: ReadonlySet<string>): readonly AgentEntry[] {
    const found: AgentEntry[] = [];
    for (const selector of present) {
      for (const entry of this.#byAnchor.get(selector) ?? []) {
        if (appliesTo(entry, present)) found.push(entry);
      }
    }
    return withUniqueHints(found.sort(compareEntries));
  }

  #add(entry: AgentEntry): void {
    this.#byId.set(entry.id, entry);
    const anchor = anchorOf(entry);
    const entries = this.#byAnchor.get(anchor);
    if (entries === undefined) this.#byAnchor.set(anchor, new Set([entry]));
    else entries.add(entry);
  }

  #remove(id: string): AgentEntry | undefined {
    const entry = this.#byId.get(id);
    if (entry === undefined) return undefined;
    this.#byId.delete(id);
    const anchor = anchorOf(entry);
    const entries = this.#byAnchor.get(anchor);
    entries?.delete(entry);
    if (entries?.size === 0) this.#byAnchor.delete(anchor);
    return entry;
  }
}

/** Whether an entry is served to a process with these selectors. */
export function appliesTo(entry: AgentEntry, present: ReadonlySet<string>): boolean {
  return !entry.storeSvid && entry.selectors.every((selector) => present.has(selector));
}

/** The longest selector: `k8s:pod-uid:…` tells more entries apart than `unix:uid:0`. */
function anchorOf(entry: AgentEntry): string {
  return entry.selectors.reduce((longest, selector) =>
    selector.length > longest.length ? selector : longest,
  );
}

function isSameVersion(a: AgentEntry, b: AgentEntry): boolean {
  return a.revision === b.revision && a.createdAtSeconds === b.createdAtSeconds;
}
