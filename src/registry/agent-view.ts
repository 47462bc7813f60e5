import type { AgentRecord, Entry } from '../rules/entry.ts';
import type { AgentSubscription, AgentUpdate } from './registry.ts';

/** Changes a stream may be behind by before it gets everything anew. */
const MAX_PENDING = 4096;

/** What the streams of an agent read when they take. */
export interface AgentState {
  readonly sequence: bigint;
  readonly agent: AgentRecord | undefined;
  readonly entries: readonly Entry[];
}

/** One stream: what it has not been told yet, merged to the newest state. */
export class Subscriber implements AgentSubscription {
  readonly #wake: () => void;
  readonly #read: () => AgentState;
  readonly #isHeld: () => boolean;
  readonly #onClose: (subscriber: Subscriber) => void;
  /** By entry ID; undefined where the entry is to go. */
  readonly #pending = new Map<string, Entry | undefined>();
  #snapshotDue: boolean;
  #news = true;

  constructor(parts: {
    readonly wake: () => void;
    readonly read: () => AgentState;
    /** Whether nothing is to be taken yet. */
    readonly isHeld: () => boolean;
    readonly onClose: (subscriber: Subscriber) => void;
    /** What it missed while away; without it, it starts with a snapshot. */
    readonly missed: ReadonlyMap<string, Entry | undefined> | undefined;
  }) {
    this.#wake = parts.wake;
    this.#read = parts.read;
    this.#isHeld = parts.isHeld;
    this.#onClose = parts.onClose;
    this.#snapshotDue = parts.missed === undefined;
    for (const [id, entry] of parts.missed ?? []) this.#pending.set(id, entry);
  }

  take(): AgentUpdate | undefined {
    if (!this.#news || this.#isHeld()) return undefined;
    const { sequence: revision, agent, entries } = this.#read();
    const update = this.#snapshotDue
      ? ({ kind: 'snapshot', agent, upserts: entries, deletedIds: [], revision } as const)
      : ({ kind: 'delta', agent, ...this.#delta(), revision } as const);
    this.#pending.clear();
    this.#snapshotDue = false;
    this.#news = false;
    return update;
  }

  close(): void {
    this.#onClose(this);
  }

  /** An entry came or changed, or went. */
  change(id: string, entry: Entry | undefined): void {
    if (this.#snapshotDue) return;
    this.#pending.set(id, entry);
    if (this.#pending.size <= MAX_PENDING) return;
    this.#pending.clear();
    this.#snapshotDue = true;
  }

  /** Tells the stream that there is something to take, once until it does. */
  notify(): void {
    if (this.#news) return;
    this.#news = true;
    this.#wake();
  }

  /** Tells the stream again, if it has not taken what there is. */
  rouse(): void {
    if (this.#news) this.#wake();
  }

  #delta(): { upserts: readonly Entry[]; deletedIds: readonly string[] } {
    const upserts: Entry[] = [];
    const deletedIds: string[] = [];
    for (const [id, entry] of this.#pending) {
      if (entry === undefined) deletedIds.push(id);
      else upserts.push(entry);
    }
    return { upserts, deletedIds };
  }
}

/** What one agent serves, kept until something that concerns it changes, and its streams. */
export class AgentView {
  readonly subscribers = new Set<Subscriber>();
  #list: readonly Entry[];
  /** Changes since the list was made, by entry ID. */
  readonly #since = new Map<string, Entry | undefined>();

  constructor(list: readonly Entry[]) {
    this.#list = list;
  }

  /** The list; the same array until it changes. */
  get list(): readonly Entry[] {
    if (this.#since.size === 0) return this.#list;
    const kept = this.#list.filter((entry) => !this.#since.has(entry.id));
    for (const entry of this.#since.values()) if (entry !== undefined) kept.push(entry);
    this.#since.clear();
    this.#list = kept;
    return kept;
  }

  /** One entry came or changed, or went, and nothing else moved. */
  change(id: string, entry: Entry | undefined): void {
    this.#since.set(id, entry);
    for (const subscriber of this.subscribers) subscriber.change(id, entry);
  }

  /** Takes a list made anew and tells the streams the difference. */
  replace(list: readonly Entry[]): void {
    const gone = new Map(this.list.map((entry) => [entry.id, entry]));
    for (const entry of list) {
      if (gone.get(entry.id) !== entry) this.#tell(entry.id, entry);
      gone.delete(entry.id);
    }
    for (const id of gone.keys()) this.#tell(id, undefined);
    this.#list = list;
  }

  #tell(id: string, entry: Entry | undefined): void {
    for (const subscriber of this.subscribers) subscriber.change(id, entry);
  }
}
