import { toHex } from '../base/bytes.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';
import { newEntryId } from '../rules/entry-id.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import { type AgentFilter, agentMatcher, type EntryFilter, entryMatcher } from '../rules/match.ts';
import type { Revocation } from '../rules/revocation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type {
  AgentChange,
  CreatedEntry,
  DpuWrite,
  EntryCreation,
  EntryUpdate,
  JoinTokenClaim,
  JoinTokenRecord,
  Store,
  StoreSnapshot,
  UpdatedEntry,
  WrittenDpu,
} from '../store/store.ts';
import { BanKeeper, type BanReach, bannedHere } from './ban-keeper.ts';
import { connectorRegistry } from './connector-view.ts';
import type { ConnectorRegistry } from './connectors.ts';
import type { DerivedView } from './derived-entries.ts';
import type { DpuView } from './dpus.ts';
import { ExpiryTimer } from './expiry-timer.ts';
import { type FederationRegistry, federationRegistry } from './federation.ts';
import { Follower } from './follower.ts';
import { HoldKeeper } from './hold-keeper.ts';
import { countMatching, listPage } from './listing.ts';
import type { LocalBans } from './local-bans.ts';
import type { LocalHolds } from './local-holds.ts';
import type { HeldDpu } from './overlay.ts';
import type {
  AgentSubscription,
  AttestationRecord,
  FeedPosition,
  NewEntry,
  Page,
  PageQuery,
  Registry,
  RegistryOptions,
} from './registry.ts';
import { View } from './view.ts';

/** How often the store is told to drop what has expired, join tokens above all. */
const PRUNE_INTERVAL_MS = 300_000;

/** What a registry is made of. */
export interface LiveRegistryParts extends RegistryOptions {
  readonly onFault: (error: SignetError) => void;
}

/** The registry over one store: the view, what keeps it new, and the writes. */
export class LiveRegistry implements Registry {
  readonly trustDomain: TrustDomain;
  readonly federation: FederationRegistry;
  readonly connectors: ConnectorRegistry;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onFault: (error: SignetError) => void;
  readonly #view: View;
  readonly #follower: Follower;
  readonly #expiry: ExpiryTimer;
  readonly #bans: BanKeeper | undefined;
  readonly #holds: HoldKeeper | undefined;
  #cancelPrune: Cancel | undefined;
  #closed = false;

  constructor(parts: LiveRegistryParts) {
    this.trustDomain = parts.trustDomain;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#onFault = parts.onFault;
    const overlay = {
      isBannedHere: (uri: string) => this.#bans?.isKept(uri) ?? false,
      heldHere: (serial: string) => this.#holds?.held(serial),
      admits: parts.admits,
    };
    const epoch = parts.derives ? `.${toHex(parts.random.bytes(8))}` : '';
    this.#view = new View(parts.trustDomain, () => this.#nowSeconds(), overlay, epoch);
    this.federation = federationRegistry(this.#view.federation, parts.store, (w) => this.#write(w));
    this.connectors = connectorRegistry(this.#view.connectors, parts.store, (w) => this.#write(w));
    this.#expiry = new ExpiryTimer(this.#view, parts.clock, () => void this.#prune());
    this.#follower = new Follower({
      store: parts.store,
      view: this.#view,
      clock: parts.clock,
      onFault: parts.onFault,
      onApplied: () => this.#expiry.arm(),
    });
    this.#bans = parts.localBans && this.#keepBans(parts, parts.localBans);
    this.#holds = parts.localHolds && this.#keepHolds(parts, parts.localHolds);
  }

  /** Takes the state that the feed is followed from; answers when the view is up to date. */
  async start(snapshot: StoreSnapshot): Promise<Result<void>> {
    this.#view.load(snapshot);
    this.#expiry.arm();
    this.#armPrune();
    const started = await this.#follower.start();
    // Bans of the run before: in force already, and now to be written where they can be.
    if (started.ok) await Promise.all([this.#bans?.flush(), this.#holds?.flush()]);
    return started;
  }

  get feedId(): string {
    return this.#view.feedId;
  }

  get sequence(): bigint {
    return this.#view.sequence;
  }

  get bundle(): Bundle | undefined {
    return this.#view.bundle;
  }

  stalenessMs(): number {
    return this.#follower.stalenessMs();
  }

  entry(id: string): Entry | undefined {
    return this.#view.graph.entries.get(id);
  }

  entriesBySpiffeId(id: SpiffeId): readonly Entry[] {
    return [...this.#view.graph.withSpiffeId(id.uri)];
  }

  adminEntry(id: SpiffeId): Entry | undefined {
    for (const entry of this.#view.graph.withSpiffeId(id.uri)) if (entry.admin) return entry;
    return undefined;
  }

  downstreamEntry(id: SpiffeId): Entry | undefined {
    for (const entry of this.#view.graph.withSpiffeId(id.uri)) if (entry.downstream) return entry;
    return undefined;
  }

  listEntries(filter: EntryFilter, query: PageQuery): Result<Page<Entry>> {
    const source = {
      keys: this.#view.entryIds,
      get: (id: string) => this.#view.graph.entries.get(id),
      matches: entryMatcher(filter),
      keyOf: (entry: Entry) => entry.id,
      candidates: this.#candidates(filter),
    };
    return listPage(source, query);
  }

  countEntries(filter?: EntryFilter): number {
    const { entries } = this.#view.graph;
    if (filter === undefined) return entries.size;
    return countMatching(this.#candidates(filter) ?? entries.values(), entryMatcher(filter));
  }

  agent(id: SpiffeId): AgentRecord | undefined {
    return this.#view.graph.agents.get(id.uri)?.record;
  }

  listAgents(filter: AgentFilter, query: PageQuery): Result<Page<AgentRecord>> {
    const source = {
      keys: this.#view.agentIds,
      get: (uri: string) => this.#view.graph.agents.get(uri)?.record,
      matches: agentMatcher(filter),
      keyOf: (agent: AgentRecord) => agent.id.uri,
      candidates: undefined,
    };
    return listPage(source, query);
  }

  countAgents(filter?: AgentFilter): number {
    const { agents } = this.#view.graph;
    if (filter === undefined) return agents.size;
    const matches = agentMatcher(filter);
    return countMatching(agents.values(), (node) => matches(node.record));
  }

  authorizedEntries(agentId: SpiffeId): readonly Entry[] {
    return this.#view.authorizedEntries(agentId.uri);
  }

  isAuthorized(agentId: SpiffeId, entryId: string): boolean {
    return this.#view.isAuthorized(agentId.uri, entryId);
  }

  subscribe(agentId: SpiffeId, wake: () => void, resume?: FeedPosition): AgentSubscription {
    return this.#view.subscribe(agentId.uri, wake, resume);
  }

  revocation(serial: string): Revocation | undefined {
    return this.#view.revocations.get(serial);
  }

  revocations(): Iterable<Revocation> {
    return this.#view.revocations.all();
  }

  revocationsOf(agentId: SpiffeId): Iterable<Revocation> {
    return this.#view.revocations.ofAgent(agentId.uri);
  }

  get revocationCount(): number {
    return this.#view.revocations.size;
  }

  onRevocations(listener: () => void): () => void {
    return this.#view.revocations.onChange(listener);
  }

  revoke(revocations: readonly Revocation[]): Promise<Result<readonly string[]>> {
    return this.#write(this.#store.revoke(revocations));
  }

  issuingCas(): Iterable<IssuingCa> {
    return this.#view.issuingCas.all();
  }

  issuingCa(authorityId: string): IssuingCa | undefined {
    return this.#view.issuingCas.get(authorityId);
  }

  get distrustedIssuingCas(): ReadonlySet<string> {
    return this.#view.issuingCas.distrusted;
  }

  onIssuingCas(listener: () => void): () => void {
    return this.#view.issuingCas.onChange(listener);
  }

  putIssuingCa(issuingCa: IssuingCa): Promise<Result<IssuingCa>> {
    return this.#write(this.#store.putIssuingCa(issuingCa));
  }

  get dpus(): DpuView {
    return this.#view.dpus;
  }

  get derived(): DerivedView {
    return this.#view.derived;
  }

  writeDpus(writes: readonly DpuWrite[]): Promise<Result<readonly WrittenDpu[]>> {
    return this.#write(this.#store.writeDpus(writes));
  }

  async quarantineDpu(held: HeldDpu): Promise<Result<BanReach>> {
    if (this.#holds !== undefined) return this.#holds.quarantine(held);
    return fail('BAN_NOT_KEPT', 'this registry has nowhere to keep a quarantine');
  }

  onBundle(listener: (bundle: Bundle) => void): () => void {
    return this.#view.onBundle(listener);
  }

  createEntries(entries: readonly NewEntry[]): Promise<Result<readonly CreatedEntry[]>> {
    const creations = entries.map((entry) => this.#withId(entry));
    return this.#write(this.#store.createEntries(creations, this.#nowSeconds()));
  }

  updateEntries(updates: readonly EntryUpdate[]): Promise<Result<readonly UpdatedEntry[]>> {
    return this.#write(this.#store.updateEntries(updates));
  }

  deleteEntries(ids: readonly string[]): Promise<Result<readonly boolean[]>> {
    return this.#write(this.#store.deleteEntries(ids));
  }

  createJoinToken(token: JoinTokenRecord): Promise<Result<'created' | 'exists'>> {
    return this.#store.createJoinToken(token);
  }

  claimJoinToken(tokenHash: string, csrKeyHash: string): Promise<Result<JoinTokenClaim>> {
    return this.#store.claimJoinToken(tokenHash, csrKeyHash, this.#nowSeconds());
  }

  async recordAttestation(record: AttestationRecord): Promise<Result<void>> {
    const { aliasEntry, agent } = record;
    if (this.#bans?.isKept(agent.id.uri)) return bannedHere(agent.id);
    const recorded = await this.#write(
      this.#store.recordAttestation({
        ...record,
        aliasEntry: aliasEntry === undefined ? undefined : this.#withId(aliasEntry),
        nowSeconds: this.#nowSeconds(),
      }),
    );
    // The store may not have known of a ban that came while it wrote.
    return recorded.ok && this.#bans?.isKept(agent.id.uri) ? bannedHere(agent.id) : recorded;
  }

  async changeAgent(
    agentId: SpiffeId,
    change: AgentChange,
  ): Promise<Result<AgentRecord | undefined>> {
    const changed = await this.#write(this.#store.changeAgent(agentId, change));
    if (!changed.ok || changed.value === undefined) return changed;
    return ok(this.#view.judged(changed.value));
  }

  async banAgent(agentId: SpiffeId, orHere: boolean): Promise<Result<BanReach | undefined>> {
    if (this.#bans !== undefined) return this.#bans.ban(agentId, orHere);
    const banned = await this.changeAgent(agentId, { kind: 'banned' });
    if (!banned.ok) return banned;
    return ok(banned.value === undefined ? undefined : 'everywhere');
  }

  async deleteAgent(agentId: SpiffeId): Promise<Result<boolean>> {
    const deleted = await this.#write(this.#store.deleteAgent(agentId));
    if (deleted.ok) await this.#bans?.lift(agentId.uri);
    return deleted;
  }

  catchUp(): Promise<Result<void>> {
    return this.#follower.catchUp();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#expiry.close();
    this.#cancelPrune?.();
    await Promise.all([this.#bans?.close(), this.#holds?.close()]);
    await this.#follower.close();
  }

  /** The store wakes before it answers, so the follower has heard of the write by then. */
  async #write<T>(writing: Promise<Result<T>>): Promise<Result<T>> {
    const written = await writing;
    // A view that cannot follow says so by its staleness; the write itself is durable.
    if (written.ok) await this.#follower.catchUp();
    return written;
  }

  #keepBans(parts: LiveRegistryParts, bans: LocalBans): BanKeeper {
    return new BanKeeper({
      ...parts,
      bans,
      agent: (id) => this.agent(id),
      onBanned: (uri) => this.#view.reconsider(uri),
      catchUp: () => this.catchUp(),
      onEvent: (event) => parts.onKeptBan?.(event),
    });
  }

  #keepHolds(parts: LiveRegistryParts, holds: LocalHolds): HoldKeeper {
    return new HoldKeeper({
      ...parts,
      holds,
      stated: (serial) => this.#view.dpus.stated(serial),
      onHeld: (serial) => this.#view.reconsiderDpu(serial),
      catchUp: () => this.catchUp(),
      onEvent: (event) => parts.onKeptHold?.(event),
    });
  }

  #withId({ id, draft }: NewEntry): EntryCreation {
    return { id: id ?? newEntryId(this.#clock, this.#random), draft };
  }

  /** Entries that alone can match, where an index tells them. */
  #candidates(filter: EntryFilter): Iterable<Entry> | undefined {
    const { graph } = this.#view;
    if (filter.spiffeId !== undefined) return graph.withSpiffeId(filter.spiffeId.uri);
    return filter.parentId === undefined ? undefined : graph.below(filter.parentId.uri);
  }

  async #prune(): Promise<void> {
    this.#view.dropEnded(this.#nowSeconds());
    const pruned = await this.#store.prune(this.#nowSeconds());
    if (!pruned.ok && !this.#closed) this.#onFault(pruned.error);
  }

  #armPrune(): void {
    this.#cancelPrune = this.#clock.after(PRUNE_INTERVAL_MS, () => {
      void this.#prune();
      this.#armPrune();
    });
  }

  #nowSeconds(): number {
    return Math.floor(this.#clock.nowMs() / 1000);
  }
}
