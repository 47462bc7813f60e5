import type { Entry } from '../rules/entry.ts';
import { type AgentState, AgentView, Subscriber } from './agent-view.ts';
import type { AgentNode, Graph } from './graph.ts';
import type { AgentSubscription } from './registry.ts';

/** What a node may serve of what its agent reaches. */
export type Admitted = 'all' | 'none' | ((entry: Entry) => boolean);

/** Judges a node once for all its entries. */
export type NodeAdmission = (node: AgentNode) => Admitted;

/** Whether an entry is among what a node may serve. */
export function isAdmitted(admitted: Admitted, entry: Entry): boolean {
  return admitted === 'all' || (admitted !== 'none' && admitted(entry));
}

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);

/**
 * The lists of agents that somebody asked for. A list without streams is dropped when something that
 * concerns it changes; one with streams follows the change and tells them.
 */
export class AgentViews {
  readonly #graph: Graph;
  readonly #admits: NodeAdmission;
  readonly #views = new Map<string, AgentView>();
  readonly #stale = new Set<string>();
  readonly #touched = new Set<string>();

  /** @param admits What may be served on a node at all. */
  constructor(graph: Graph, admits: NodeAdmission) {
    this.#graph = graph;
    this.#admits = admits;
  }

  /** What an agent serves; the same array until it changes. */
  entriesOf(uri: string): readonly Entry[] {
    const known = this.#views.get(uri);
    if (known !== undefined) return known.list;
    if (!this.#graph.agents.has(uri)) return NO_ENTRIES;
    return this.#open(uri).list;
  }

  /** Opens a stream on an agent; without what it missed it starts with a snapshot. */
  subscribe(
    uri: string,
    stream: {
      readonly wake: () => void;
      readonly missed: ReadonlyMap<string, Entry | undefined> | undefined;
      readonly isHeld: () => boolean;
      readonly read: () => AgentState;
    },
  ): AgentSubscription {
    const view = this.#views.get(uri) ?? this.#open(uri);
    const subscriber = new Subscriber({
      ...stream,
      onClose: (closed) => view.subscribers.delete(closed),
    });
    view.subscribers.add(subscriber);
    return subscriber;
  }

  /** One entry of an agent came or changed, or went, and nothing else moved. */
  change(uri: string, id: string, entry: Entry | undefined): void {
    const view = this.#views.get(uri);
    if (view === undefined) return;
    if (view.subscribers.size === 0) {
      this.#views.delete(uri);
      return;
    }
    this.#touched.add(uri);
    // What is stale is made anew from the graph, this change included.
    if (!this.#stale.has(uri)) view.change(id, this.#admitted(uri, entry));
  }

  /** What an agent reaches changed. */
  invalidate(uri: string): void {
    const view = this.#views.get(uri);
    if (view === undefined) return;
    if (view.subscribers.size === 0) {
      this.#views.delete(uri);
      return;
    }
    this.#stale.add(uri);
    this.#touched.add(uri);
  }

  /** What every agent reaches may have changed. */
  invalidateAll(): void {
    for (const uri of [...this.#views.keys()]) this.invalidate(uri);
  }

  /** An agent's record changed. */
  touch(uri: string): void {
    if (this.#views.has(uri)) this.#touched.add(uri);
  }

  /** Wakes every stream, also those that were told before that there is something to take. */
  wakeAll(): void {
    for (const { subscribers } of this.#views.values()) {
      for (const subscriber of subscribers) subscriber.rouse();
    }
  }

  /** Makes stale lists anew and wakes the streams of all touched agents. */
  flush(): void {
    for (const uri of this.#stale) this.#views.get(uri)?.replace(this.#compute(uri));
    this.#stale.clear();
    const touched = [...this.#touched];
    this.#touched.clear();
    for (const uri of touched) {
      for (const subscriber of this.#views.get(uri)?.subscribers ?? []) subscriber.notify();
    }
  }

  #open(uri: string): AgentView {
    const view = new AgentView(this.#compute(uri));
    this.#views.set(uri, view);
    return view;
  }

  #compute(uri: string): readonly Entry[] {
    const node = this.#graph.agents.get(uri);
    if (node === undefined) return NO_ENTRIES;
    const admits = this.#admits(node);
    if (admits === 'none') return NO_ENTRIES;
    const reached = this.#graph.authorized(node);
    return admits === 'all' ? reached : reached.filter(admits);
  }

  #admitted(uri: string, entry: Entry | undefined): Entry | undefined {
    const node = this.#graph.agents.get(uri);
    if (node === undefined || entry === undefined) return undefined;
    return isAdmitted(this.#admits(node), entry) ? entry : undefined;
  }
}
