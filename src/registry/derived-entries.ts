import type { DerivedChange, DerivedEntry, DerivedSource } from '../rules/derived.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import { DERIVED_ID_PREFIX } from '../rules/entry-id.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/**
 * Entries that rules give. They stand in the view as stored ones do, and nowhere else: the store never
 * has them, and they end with the process.
 */
export interface DerivedView {
  /** Entries that are there now. */
  readonly count: number;
  /** Takes in what changed, and tells the streams of the agents that it concerns. */
  apply(change: DerivedChange): void;
  /** Where an entry comes from; undefined for stored ones. */
  sourceOf(entryId: string): DerivedSource | undefined;
  /**
   * Holds back what agents serve until their derived entries are known: after a restart they keep what
   * they have meanwhile. Returns what ends that.
   */
  holdBack(awaits: (agent: AgentRecord) => boolean): () => void;
  /** Whether an agent waits for its derived entries. */
  isHeld(agentId: SpiffeId): boolean;
}

/** What derived entries do to the view. */
export interface DerivedHooks {
  readonly entry: (id: string) => Entry | undefined;
  readonly agent: (uri: string) => AgentRecord | undefined;
  /** Replaces an entry, or adds it, or takes it out. */
  readonly replace: (before: Entry | undefined, after: Entry | undefined) => void;
  readonly flush: () => void;
  /** Wakes the streams of all agents. */
  readonly wakeAll: () => void;
}

/** See {@link DerivedView}. */
export class DerivedEntries implements DerivedView {
  readonly #hooks: DerivedHooks;
  readonly #entries = new Map<string, DerivedEntry>();
  readonly #holds = new Set<(agent: AgentRecord) => boolean>();

  constructor(hooks: DerivedHooks) {
    this.#hooks = hooks;
  }

  get count(): number {
    return this.#entries.size;
  }

  /** All of them, for a view that is loaded anew. */
  *all(): Generator<Entry> {
    for (const { entry } of this.#entries.values()) yield entry;
  }

  apply({ upserts, deletedIds }: DerivedChange): void {
    const { entry: known, replace, flush } = this.#hooks;
    for (const id of deletedIds) if (this.#entries.delete(id)) replace(known(id), undefined);
    for (const derived of upserts) {
      const { entry } = derived;
      // Stored entries have no such IDs, so that none of them is replaced.
      if (!entry.id.startsWith(DERIVED_ID_PREFIX)) continue;
      this.#entries.set(entry.id, derived);
      replace(known(entry.id), entry);
    }
    flush();
  }

  sourceOf(entryId: string): DerivedSource | undefined {
    return this.#entries.get(entryId)?.source;
  }

  holdBack(awaits: (agent: AgentRecord) => boolean): () => void {
    this.#holds.add(awaits);
    return () => {
      if (this.#holds.delete(awaits)) this.#hooks.wakeAll();
    };
  }

  isHeld({ uri }: SpiffeId): boolean {
    if (this.#holds.size === 0) return false;
    const agent = this.#hooks.agent(uri);
    return agent !== undefined && [...this.#holds].some((awaits) => awaits(agent));
  }
}
