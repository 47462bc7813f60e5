import type { AgentEntry } from './entry.ts';
import { appliesTo, type EntryChange } from './entry-set.ts';
import { View, type ViewSource } from './view.ts';

/** Views kept though no stream follows them: for clients that fetch once and go. */
const MAX_IDLE_VIEWS = 64;

/** Whose view is wanted. */
export interface ViewOwner {
  readonly key: string;
  readonly selectors: readonly string[];
}

/**
 * One view for each set of selectors in use. Changes are gathered over a microtask, so that streams
 * see the outcome of a message and not its steps.
 */
export class Views {
  readonly #source: ViewSource;
  readonly #views = new Map<string, View>();
  #changed = new Set<View>();
  #scheduled = false;

  constructor(source: ViewSource) {
    this.#source = source;
  }

  /** Views held. */
  get size(): number {
    return this.#views.size;
  }

  /** The view of a process; follow it in the same turn, or it may be dropped. */
  get(owner: ViewOwner): View {
    const known = this.#views.get(owner.key);
    if (known !== undefined) {
      // The last one asked for is the last one dropped.
      this.#views.delete(owner.key);
      this.#views.set(owner.key, known);
      return known;
    }
    const view = new View(owner.key, owner.selectors, this.#source);
    this.#views.set(owner.key, view);
    if (this.#views.size > MAX_IDLE_VIEWS) this.#dropIdle(view);
    return view;
  }

  /** Entries changed: views that showed one, or do now, match anew. */
  entriesChanged(change: EntryChange): void {
    const touched = [...change.upserted, ...change.replaced];
    for (const view of this.#views.values()) {
      if (!touched.some((entry) => concerns(entry, view))) continue;
      view.rematch();
      this.#tell(view);
    }
  }

  /** SVIDs of these entries came or went. */
  svidsChanged(entryIds: readonly string[]): void {
    for (const view of this.#views.values()) {
      if (!entryIds.some((id) => view.shows(id))) continue;
      view.spoil();
      this.#tell(view);
    }
  }

  /** What all views show changed: bundles, or whether anything is served at all. */
  allChanged(): void {
    for (const view of this.#views.values()) {
      view.rematch();
      this.#tell(view);
    }
  }

  #tell(view: View): void {
    this.#changed.add(view);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      const changed = this.#changed;
      this.#changed = new Set();
      for (const one of changed) one.notify();
    });
  }

  #dropIdle(keep: View): void {
    let idle = 0;
    for (const view of [...this.#views.values()].reverse()) {
      if (view === keep || view.listeners > 0) continue;
      idle++;
      if (idle >= MAX_IDLE_VIEWS) this.#views.delete(view.key);
    }
  }
}

function concerns(entry: AgentEntry, view: View): boolean {
  return view.shows(entry.id) || appliesTo(entry, view.selectors);
}
