import type { DpuRecord } from '../rules/dpu.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import { REVOCATION_GRACE_SECONDS, type Revocation } from '../rules/revocation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Change, StoreSnapshot } from '../store/store.ts';
import { type Admitted, AgentViews, isAdmitted } from './agent-views.ts';
import { Connectors } from './connector-view.ts';
import { DerivedEntries } from './derived-entries.ts';
import { Dpus } from './dpus.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import { Federations } from './federation.ts';
import { type AgentNode, Graph } from './graph.ts';
import { History } from './history.ts';
import { IssuingCas } from './issuing-cas.ts';
import { judgeAgent, judgeDpu, type Overlay } from './overlay.ts';
import type { AgentSubscription, FeedPosition } from './registry.ts';
import { Revocations } from './revocations.ts';
import { SortedKeys } from './sorted-keys.ts';

const FEDERATION_KINDS: ReadonlySet<Change['kind']> = new Set(['federation', 'federated-bundle']);
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
  readonly federation = new Federations();
  readonly connectors = new Connectors();
  readonly dpus: Dpus;
  readonly derived: DerivedEntries;
  entryIds = new SortedKeys([]);
  agentIds = new SortedKeys([]);
  feedId = '';
  sequence = 0n;
  bundle: Bundle | undefined;
  readonly #now: () => number;
  readonly #overlay: Overlay;
  readonly #epoch: string;
  readonly #agents: AgentViews;
  readonly #bundleListeners = new Set<(bundle: Bundle) => void>();
  #history = new History(0n);

  /**
   * @param nowSeconds Unix seconds; an entry that has expired is as if it were not there.
   * @param overlay What is in force here whatever the store says.
   * @param epoch Added to the identity of the feed where entries are derived: a stream cannot go on from
   * what an earlier process, or another, derived.
   */
  constructor(
    trustDomain: TrustDomain,
    nowSeconds: () => number,
    overlay: Overlay = {},
    epoch = '',
  ) {
    this.#now = nowSeconds;
    this.#epoch = epoch;
    this.#overlay = overlay;
    this.dpus = new Dpus((stated) => judgeDpu(stated, overlay));
    this.graph = new Graph(trustDomain);
    this.#agents = new AgentViews(this.graph, (node) => this.#admits(node));
    this.derived = new DerivedEntries({
      entry: (id) => this.graph.entries.get(id),
      agent: (uri) => this.graph.agents.get(uri)?.record,
      // As if it were the next change, as with entries that expire.
      replace: (before, after) => this.#replaceEntry(before, after, this.sequence + 1n),
      flush: () => this.#agents.flush(),
      wakeAll: () => this.#agents.wakeAll(),
    });
  }

  /** Replaces everything; streams that are open are told the difference. */
  load(snapshot: StoreSnapshot): void {
    this.feedId = snapshot.feedId + this.#epoch;
    this.sequence = snapshot.sequence;
    this.graph.clear();
    this.expiries.clear();
    this.#history = new History(snapshot.sequence);
    this.dpus.clear();
    for (const dpu of snapshot.dpus) this.dpus.put(dpu);
    for (const agent of snapshot.agents) {
      this.graph.putAgent(this.judged(agent), snapshot.sequence);
    }
    for (const entry of snapshot.entries) if (!this.#isExpired(entry)) this.#put(entry);
    for (const entry of this.derived.all()) this.#put(entry);
    this.entryIds = new SortedKeys([...this.graph.entries.keys()]);
    this.agentIds = new SortedKeys([...this.graph.agents.keys()]);
    this.#loadRevocations(snapshot.revocations);
    this.issuingCas.clear();
    for (const issuingCa of snapshot.issuingCas) this.issuingCas.put(issuingCa);
    this.federation.load(snapshot.federations, snapshot.federatedBundles);
    this.connectors.load(snapshot.connectors);
    this.#agents.invalidateAll();
    if (snapshot.bundle !== undefined) this.#setBundle(snapshot.bundle);
    this.#agents.flush();
    this.revocations.notify();
    this.issuingCas.notify();
    this.dpus.notify();
    this.federation.notify();
    this.connectors.notify();
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
    if (changes.some(({ kind }) => kind === 'dpu')) this.dpus.notify();
    if (changes.some(({ kind }) => FEDERATION_KINDS.has(kind))) this.federation.notify();
    this.connectors.notify();
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

  /** An agent's record as everybody is to see it. */
  judged(record: AgentRecord): AgentRecord {
    return judgeAgent(record, this.dpus.ofAgent(record.id), this.#overlay);
  }

  /** Looks at an agent anew that is banned here from now on, and tells its streams. */
  reconsider(agentUri: string): void {
    const node = this.graph.agents.get(agentUri);
    if (node === undefined) return;
    this.#changeAgent(node.record);
    this.#agents.flush();
  }

  /** Looks at a DPU anew that is held here from now on, or no longer, and tells the streams of its node. */
  reconsiderDpu(serial: string): void {
    const stated = this.dpus.stated(serial);
    if (stated === undefined) return;
    // As if it were the next change, as with entries that expire.
    this.#changeDpu(stated, this.sequence + 1n);
    this.#agents.flush();
    this.dpus.notify();
  }

  /** What an agent serves; the same array until it changes. */
  authorizedEntries(agentUri: string): readonly Entry[] {
    return this.#agents.entriesOf(agentUri);
  }

  /** Whether an entry is among those that an agent serves. */
  isAuthorized(agentUri: string, entryId: string): boolean {
    const node = this.graph.agents.get(agentUri);
    const entry = this.graph.entries.get(entryId);
    if (node === undefined || entry === undefined) return false;
    return this.graph.serves(node, entry) && isAdmitted(this.#admits(node), entry);
  }

  /** Opens a stream on an agent. */
  subscribe(agentUri: string, wake: () => void, resume?: FeedPosition): AgentSubscription {
    return this.#agents.subscribe(agentUri, {
      wake,
      missed: resume === undefined ? undefined : this.#missedSince(agentUri, resume),
      isHeld: () => {
        const agent = this.graph.agents.get(agentUri)?.record;
        return agent !== undefined && this.derived.isHeld(agent.id);
      },
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
      case 'dpu':
        this.#changeDpu(change.dpu, this.sequence);
        return;
      case 'federation':
        this.federation.putRelationship(change.trustDomain, change.federation);
        return;
      case 'federated-bundle':
        this.federation.putBundle(change.trustDomain, change.federatedBundle);
        return;
      case 'ended':
        return;
      default:
        this.connectors.apply(change);
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

  #changeAgent(record: AgentRecord, sequence = this.sequence): void {
    const { uri } = record.id;
    const before = this.graph.agents.get(uri);
    const judged = this.judged(record);
    this.graph.putAgent(judged, sequence);
    if (before === undefined) this.agentIds.add(uri);
    else if (!sameStanding(before.record, judged)) this.graph.renewAgent(uri, sequence);
    const moved = before?.selectorsSince !== this.graph.agents.get(uri)?.selectorsSince;
    if (moved) this.#agents.invalidate(uri);
    this.#agents.touch(uri);
  }

  #changeDpu(stated: DpuRecord, sequence: bigint): void {
    const before = this.dpus.get(stated.serial);
    this.dpus.put(stated);
    const after = this.dpus.get(stated.serial);
    const nodes = new Set([...this.#agentsOn(before), ...this.#agentsOn(after)]);
    for (const { uri, record } of nodes) {
      this.#changeAgent(record, sequence);
      // Zone and standing of the node are inputs to what it may have.
      this.graph.renewAgent(uri, sequence);
      this.#agents.invalidate(uri);
    }
  }

  /** Agents of the node of a DPU: its own, those that it vouched for, and those that the inventory names. */
  *#agentsOn(dpu: DpuRecord | undefined): Generator<AgentNode> {
    if (dpu === undefined) return;
    for (const { uri } of dpu.agentIds) {
      const node = this.graph.agents.get(uri);
      if (node !== undefined) yield node;
    }
    for (const deviceId of dpu.deviceIds) yield* this.graph.onDevice(deviceId);
  }

  #admits(node: AgentNode): Admitted {
    if (node.record.quarantine !== undefined) return 'none';
    return this.#overlay.admits?.(node.record, this.dpus.ofAgent(node.record.id)) ?? 'all';
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
      const served = entry !== undefined && this.isAuthorized(agentUri, id);
      if (served) missed.set(id, entry);
      else if (oldParents.some((uri) => this.graph.reaches(node, uri))) missed.set(id, undefined);
    }
    return missed;
  }

  #isExpired(entry: Entry): boolean {
    return entry.expiresAtSeconds !== 0 && entry.expiresAtSeconds <= this.#now();
  }
}

function sameStanding(before: AgentRecord, after: AgentRecord): boolean {
  const [one, other] = [before.assurance, after.assurance];
  return (
    before.quarantine === after.quarantine &&
    before.attestationType === after.attestationType &&
    one?.binding === other?.binding &&
    one?.zone === other?.zone &&
    one?.release === other?.release
  );
}
