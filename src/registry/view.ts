import type { AgentRecord, Entry } from '../rules/entry.ts';
import { REVOCATION_GRACE_SECONDS, type Revocation } from '../rules/revocation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Change, StoreSnapshot } from '../store/store.ts';
import { AgentViews } from './agent-views.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import { type AgentNode, Graph } from './graph.ts';
import { History } from './history.ts';
import { IssuingCas } from './issuing-cas.ts';
import type { AgentSubscription, FeedPosition } from './registry.ts';
import { Revocations } from './revocations.ts';
import { SortedKeys } from './sorted-keys.ts';

const NO_AGENTS: ReadonlySet<AgentNode> = new Set();

/**
 * All state in memory, at one point of the feed. Synchronous throughout: between two of its calls
 * everybody sees the same state.
 */
export class View {
  readonly graph: Graph;
  readonly expiries = new ExpiryQueue();
  readonly revocations = new Revocations();
  readonly issuingCas = new IssuingCas();
  entryIds = new SortedKeys([]);
  agentIds = new SortedKeys([]);
  feedId = '';
  sequence = 0n;
  bundle: Bundle | undefined;
  readonly #now: () => number;
  readonly #isBannedHere: (agentUri: string) => boolean;
  readonly #agents: AgentViews;
  readonly #bundleListeners = new Set<(bundle: Bundle) => void>();
  #history = new History(0n);

  /**
   * @param nowSeconds Unix seconds; an entry that has expired is as if it were not there.
   * @param isBannedHere Whether an agent is banned whatever the store says of it.
   */
  constructor(
    trustDomain: TrustDomain,
    nowSeconds: () => number,
    isBannedHere: (agentUri: string) => boolean = () => false,
  ) {
    this.#now = nowSeconds;
    this.#isBannedHere = isBannedHere;
    this.graph = new Graph(trustDomain);
    this.#agents = new AgentViews(this.graph);
  }

  /** Replaces everything; streams that are open are told the difference. */
  load(snapshot: StoreSnapshot): void {
    this.feedId = snapshot.feedId;
    this.sequence = snapshot.sequence;
    this.graph.clear();
    this.expiries.clear();
    this.#history = new History(snapshot.sequence);
    for (const agent of snapshot.agents) {
      this.graph.putAgent(this.judged(agent), snapshot.sequence);
    }
    for (const entry of snapshot.entries) if (!this.#isExpired(entry)) this.#put(entry);
    this.entryIds = new SortedKeys([...this.graph.entries.keys()]);
    this.agentIds = new SortedKeys([...this.graph.agents.keys()]);
    this.#loadRevocations(snapshot.revocations);
    this.issuingCas.clear();
    for (const issuingCa of snapshot.issuingCas) this.issuingCas.put(issuingCa);
    this.#agents.invalidateAll();
    if (snapshot.bundle !== undefined) this.#setBundle(snapshot.bundle);
    this.#agents.flush();
    this.revocations.notify();
    this.issuingCas.notify();
  }

  /** Applies changes in the order of the feed. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      this.sequence = change.sequence;
      this.#applyOne(change);
    }
    this.#agents.flush();
    if (changes.some(({ kind }) => kind === 'revocation')) this.revocations.notify();
    if (changes.some(({ kind }) => kind === 'issuing-ca')) this.issuingCas.notify();
  }

  /** Drops entries whose time is over, before the store has deleted them. Answers whether any was. */
  expire(nowSeconds: number): boolean {
    let dropped = false;
    for (const id of this.expiries.takeDue(nowSeconds)) {
      const entry = this.graph.entries.get(id);
      if (entry === undefined || !this.#isExpired(entry)) continue;
      // As if it were the next change: a stream that was cut before has to hear of it.
      this.#replaceEntry(entry, undefined, this.sequence + 1n);
      dropped = true;
    }
    this.#agents.flush();
    return dropped;
  }

  /** Drops revocations, and issuing CAs, of what nobody can take for valid any more. */
  dropEnded(nowSeconds: number): void {
    const endedBySeconds = nowSeconds - REVOCATION_GRACE_SECONDS;
    if (this.revocations.dropEnded(endedBySeconds)) this.revocations.notify();
    if (this.issuingCas.dropEnded(endedBySeconds)) this.issuingCas.notify();
  }

  /** An agent's record as everybody is to see it: banned also where only this server bans it. */
  judged(record: AgentRecord): AgentRecord {
    return record.banned || !this.#isBannedHere(record.id.uri)
      ? record
      : { ...record, banned: true };
  }

  /** Looks at an agent anew that is banned here from now on, and tells its streams. */
  reconsider(agentUri: string): void {
    const node = this.graph.agents.get(agentUri);
    if (node === undefined) return;
    this.#changeAgent(node.record);
    this.#agents.flush();
  }

  /** What an agent serves; the same array until it changes. */
  authorizedEntries(agentUri: string): readonly Entry[] {
    return this.#agents.entriesOf(agentUri);
  }

  /** Whether an entry is among those that an agent serves. */
  isAuthorized(agentUri: string, entryId: string): boolean {
    const node = this.graph.agents.get(agentUri);
    const entry = this.graph.entries.get(entryId);
    return node !== undefined && entry !== undefined && this.graph.serves(node, entry);
  }

  /** Opens a stream on an agent. */
  subscribe(agentUri: string, wake: () => void, resume?: FeedPosition): AgentSubscription {
    return this.#agents.subscribe(agentUri, {
      wake,
      missed: resume === undefined ? undefined : this.#missedSince(agentUri, resume),
      read: () => ({
        sequence: this.sequence,
        agent: this.graph.agents.get(agentUri)?.record,
        entries: this.#agents.entriesOf(agentUri),
      }),
    });
  }

  /** Calls back with each new bundle. Returns what ends it. */
  onBundle(listener: (bundle: Bundle) => void): () => void {
    this.#bundleListeners.add(listener);
    return () => this.#bundleListeners.delete(listener);
  }

  #applyOne(change: Change): void {
    switch (change.kind) {
      case 'entry':
        this.#changeEntry(change.entry.id, change.entry);
        return;
      case 'entry-deleted':
        this.#changeEntry(change.entryId, undefined);
        return;
      case 'agent':
        this.#changeAgent(change.agent);
        return;
      case 'agent-deleted':
        this.#removeAgent(change.agentId);
        return;
      case 'bundle':
        this.#setBundle(change.bundle);
        return;
      case 'revocation':
        this.#revoke(change.revocation);
        return;
      case 'issuing-ca':
        this.issuingCas.put(change.issuingCa);
        return;
      case 'ended':
        return;
    }
  }

  #changeEntry(id: string, stated: Entry | undefined): void {
    const after = stated !== undefined && this.#isExpired(stated) ? undefined : stated;
    this.#replaceEntry(this.graph.entries.get(id), after, this.sequence);
  }

  #replaceEntry(before: Entry | undefined, after: Entry | undefined, sequence: bigint): void {
    const id = (after ?? before)?.id;
    if (id === undefined) return;
    const leaf = this.graph.isLeafChange(before, after);
    const losing = before === undefined ? NO_AGENTS : this.graph.agentsOf(before);
    if (after === undefined) this.graph.remove(id);
    else this.#put(after);
    const gaining = after === undefined ? NO_AGENTS : this.graph.agentsOf(after);
    this.#history.push(sequence, before, after, leaf);
    if (before === undefined) this.entryIds.add(id);
    for (const node of losing) {
      if (!leaf) this.#agents.invalidate(node.uri);
      else if (!gaining.has(node)) this.#agents.change(node.uri, id, undefined);
    }
    for (const { uri } of gaining) {
      if (leaf) this.#agents.change(uri, id, after);
      else this.#agents.invalidate(uri);
    }
  }

  #put(entry: Entry): void {
    this.graph.put(entry);
    if (entry.expiresAtSeconds !== 0) this.expiries.add(entry.id, entry.expiresAtSeconds);
  }

  #changeAgent(record: AgentRecord): void {
    const { uri } = record.id;
    const before = this.graph.agents.get(uri);
    this.graph.putAgent(this.judged(record), this.sequence);
    if (before === undefined) this.agentIds.add(uri);
    const moved = before?.selectorsSince !== this.graph.agents.get(uri)?.selectorsSince;
    if (moved) this.#agents.invalidate(uri);
    this.#agents.touch(uri);
  }

  #removeAgent(uri: string): void {
    this.graph.removeAgent(uri);
    this.#agents.invalidate(uri);
  }

  #setBundle(bundle: Bundle): void {
    this.bundle = bundle;
    for (const listener of this.#bundleListeners) listener(bundle);
  }

  #loadRevocations(revocations: readonly Revocation[]): void {
    this.revocations.clear();
    for (const revocation of revocations) this.#revoke(revocation);
  }

  #revoke(revocation: Revocation): void {
    const agentUri = this.revocations.add(revocation);
    if (agentUri !== undefined) this.#agents.touch(agentUri);
  }

  /** What a stream that stands at `resume` has to hear of; undefined when only a snapshot can tell. */
  #missedSince(
    agentUri: string,
    resume: FeedPosition,
  ): ReadonlyMap<string, Entry | undefined> | undefined {
    const node = this.graph.agents.get(agentUri);
    const known =
      node !== undefined &&
      resume.feedId === this.feedId &&
      resume.revision <= this.sequence &&
      resume.revision >= node.selectorsSince;
    const changed = known ? this.#history.since(resume.revision) : undefined;
    if (node === undefined || changed === undefined) return undefined;
    const missed = new Map<string, Entry | undefined>();
    for (const [id, oldParents] of changed) {
      const entry = this.graph.entries.get(id);
      if (entry !== undefined && this.graph.serves(node, entry)) missed.set(id, entry);
      else if (oldParents.some((uri) => this.graph.reaches(node, uri))) missed.set(id, undefined);
    }
    return missed;
  }

  #isExpired(entry: Entry): boolean {
    return entry.expiresAtSeconds !== 0 && entry.expiresAtSeconds <= this.#now();
  }
}
