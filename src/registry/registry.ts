import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { AgentRecord, Entry, EntryDraft } from '../rules/entry.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import type { AgentFilter, EntryFilter } from '../rules/match.ts';
import type { Revocation } from '../rules/revocation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type {
  AgentChange,
  AttestationWrite,
  CreatedEntry,
  DpuWrite,
  EntryUpdate,
  JoinTokenClaim,
  JoinTokenRecord,
  Store,
  UpdatedEntry,
  WrittenDpu,
} from '../store/store.ts';
import type { BanReach, KeptBanEvent } from './ban-keeper.ts';
import type { ConnectorRegistry } from './connectors.ts';
import type { DerivedView } from './derived-entries.ts';
import type { DpuView } from './dpus.ts';
import type { FederationRegistry } from './federation.ts';
import type { KeptEvent } from './kept-writer.ts';
import { LiveRegistry } from './live-registry.ts';
import type { LocalBans } from './local-bans.ts';
import type { LocalHolds } from './local-holds.ts';
import type { Admission, HeldDpu } from './overlay.ts';

/** What a registry stands on. */
export interface RegistryOptions {
  readonly store: Store;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  /** For the IDs of new entries. */
  readonly random: Random;
  /** Told when the feed cannot be followed; the registry tries again by itself. */
  readonly onFault?: (error: SignetError) => void;
  /** Where bans are kept that the store does not take; without, a ban needs the store. */
  readonly localBans?: LocalBans;
  /** Told what becomes of such bans. */
  readonly onKeptBan?: (event: KeptBanEvent) => void;
  /** Where quarantines of DPUs are kept that the store does not take; without, there are none. */
  readonly localHolds?: LocalHolds;
  /** Told what becomes of such quarantines. */
  readonly onKeptHold?: (event: KeptEvent<HeldDpu>) => void;
  /** What nodes may have by configuration. */
  readonly admits?: Admission | undefined;
  /** Whether rules derive entries here; then a stream begins anew with each process. */
  readonly derives?: boolean | undefined;
}

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Opaque; empty on the last page. Holds across changes and restarts. */
  readonly nextPageToken: string;
}

/** Which page of a list. */
export interface PageQuery {
  /** 0 is everything. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/** Where a reader of the push feed stands. */
export interface FeedPosition {
  readonly feedId: string;
  readonly revision: bigint;
}

/** The newest state of one agent, for its push stream. */
export interface AgentUpdate {
  /** A snapshot replaces what the agent has, a delta adds to it. */
  readonly kind: 'snapshot' | 'delta';
  /** The agent's record; undefined when it was deleted. Ban, renewal and promotion show here. */
  readonly agent: AgentRecord | undefined;
  readonly upserts: readonly Entry[];
  /** Always empty in a snapshot. */
  readonly deletedIds: readonly string[];
  /** Feed sequence that this brings the agent to. */
  readonly revision: bigint;
}

/** One push stream's view of its agent. What is not taken is merged, never queued. */
export interface AgentSubscription {
  /** What changed since the last call; undefined when nothing did. The first call has the start. */
  take(): AgentUpdate | undefined;
  close(): void;
}

/** An entry to be created; without an ID it gets one. */
export interface NewEntry {
  readonly id?: string | undefined;
  readonly draft: EntryDraft;
}

/** One attestation; the alias gets an ID where it has none. */
export interface AttestationRecord extends Omit<AttestationWrite, 'nowSeconds' | 'aliasEntry'> {
  readonly aliasEntry: NewEntry | undefined;
}

/**
 * The authoritative view for reads, in memory; no read touches the store. Writes go to the store in
 * one transaction and answer when this view shows them.
 */
export interface Registry {
  readonly trustDomain: TrustDomain;
  /** Identity of the feed that this view follows. */
  readonly feedId: string;
  /** Last change that the view shows. */
  readonly sequence: bigint;
  /** How long the view has been known to lag behind its feed, in milliseconds; 0 when it does not. */
  stalenessMs(): number;

  entry(id: string): Entry | undefined;
  entriesBySpiffeId(id: SpiffeId): readonly Entry[];
  /** An entry with `admin` and this SPIFFE ID, if there is one. */
  adminEntry(id: SpiffeId): Entry | undefined;
  /** An entry with `downstream` and this SPIFFE ID, if there is one. */
  downstreamEntry(id: SpiffeId): Entry | undefined;
  /** Entries in the order of their IDs. Fails with PAGE_TOKEN. */
  listEntries(filter: EntryFilter, query: PageQuery): Result<Page<Entry>>;
  countEntries(filter?: EntryFilter): number;

  agent(id: SpiffeId): AgentRecord | undefined;
  /** Agents in the order of their IDs. Fails with PAGE_TOKEN. */
  listAgents(filter: AgentFilter, query: PageQuery): Result<Page<AgentRecord>>;
  countAgents(filter?: AgentFilter): number;

  /**
   * Entries that an agent serves: those whose parent is the agent or an alias of it, and from each
   * on by its SPIFFE ID as parent. The same array until something that concerns the agent changes,
   * so answers may be cached by it.
   */
  authorizedEntries(agentId: SpiffeId): readonly Entry[];
  /** Whether the entry is among those of {@link authorizedEntries}; costs the depth of the tree. */
  isAuthorized(agentId: SpiffeId, entryId: string): boolean;
  /**
   * Follows one agent. `wake` is called when {@link AgentSubscription.take} has something new, once
   * until it is taken. With `resume` the first take is a delta where that is possible.
   */
  subscribe(agentId: SpiffeId, wake: () => void, resume?: FeedPosition): AgentSubscription;

  /** Bundle of the own trust domain, with certificates parsed; undefined before the first one. */
  readonly bundle: Bundle | undefined;
  /** Calls `listener` with each new bundle. Returns what ends it. */
  onBundle(listener: (bundle: Bundle) => void): () => void;

  /** The revocation of an X.509-SVID by its serial number (decimal); undefined where it stands. */
  revocation(serial: string): Revocation | undefined;
  /** Every revocation whose SVID may still be taken for valid by somebody. */
  revocations(): Iterable<Revocation>;
  /** Those of SVIDs that were issued through an agent, its own included. */
  revocationsOf(agentId: SpiffeId): Iterable<Revocation>;
  readonly revocationCount: number;
  /** Calls `listener` after revocations came or went. Returns what ends it. */
  onRevocations(listener: () => void): () => void;

  /** Issuing CAs of all servers, in no order; ended ones for a while too. */
  issuingCas(): Iterable<IssuingCa>;
  /** The issuing CA with this key identifier (hex). */
  issuingCa(authorityId: string): IssuingCa | undefined;
  /** Key identifiers (hex) of those that are tainted or revoked; the same set until that changes. */
  readonly distrustedIssuingCas: ReadonlySet<string>;
  /** Calls `listener` after issuing CAs came, went or changed. Returns what ends it. */
  onIssuingCas(listener: () => void): () => void;

  /** Relationships with other trust domains, and their bundles. */
  readonly federation: FederationRegistry;

  /** Connectors, their groups, segments and keys. */
  readonly connectors: ConnectorRegistry;

  /** The inventory of DPUs. */
  readonly dpus: DpuView;
  /** Entries that rules give; {@link entry} and the lists have them too. */
  readonly derived: DerivedView;
  /** Makes or replaces DPUs, each only over the revision that it was made from. */
  writeDpus(writes: readonly DpuWrite[]): Promise<Result<readonly WrittenDpu[]>>;
  /**
   * Puts a DPU into quarantine: in force on this server at once, also while the store does not answer,
   * and outliving the process. Fails with DPU_NOT_FOUND, or with BAN_NOT_KEPT where it is in force but
   * would not outlive the process. One that is in quarantine, or retired, stays as it is.
   */
  quarantineDpu(held: HeldDpu): Promise<Result<BanReach>>;

  createEntries(entries: readonly NewEntry[]): Promise<Result<readonly CreatedEntry[]>>;
  updateEntries(updates: readonly EntryUpdate[]): Promise<Result<readonly UpdatedEntry[]>>;
  deleteEntries(ids: readonly string[]): Promise<Result<readonly boolean[]>>;
  createJoinToken(token: JoinTokenRecord): Promise<Result<'created' | 'exists'>>;
  /** Exactly one of several concurrent claims of a token is `claimed`. */
  claimJoinToken(tokenHash: string, csrKeyHash: string): Promise<Result<JoinTokenClaim>>;
  /** Fails with AGENT_BANNED when the agent is banned. */
  recordAttestation(record: AttestationRecord): Promise<Result<void>>;
  changeAgent(agentId: SpiffeId, change: AgentChange): Promise<Result<AgentRecord | undefined>>;
  /**
   * Bans an agent; undefined where there is none. With `orHere` it takes effect on this server also
   * while the store does not answer, outlives the process, and is written to the store as soon as that
   * can be; fails with BAN_NOT_KEPT where it is in force but would not outlive the process.
   */
  banAgent(agentId: SpiffeId, orHere: boolean): Promise<Result<BanReach | undefined>>;
  /** Deletes an agent and lifts its ban; false where there is none. */
  deleteAgent(agentId: SpiffeId): Promise<Result<boolean>>;

  /** Takes X.509-SVIDs back; answers the serials that were not revoked before. Streams of the agents are woken. */
  revoke(revocations: readonly Revocation[]): Promise<Result<readonly string[]>>;

  /** Takes in an issuing CA or its next state, never an earlier one; answers how it stands. */
  putIssuingCa(issuingCa: IssuingCa): Promise<Result<IssuingCa>>;

  /** Answers when the view shows everything that was committed before the call. */
  catchUp(): Promise<Result<void>>;
  /** Stops following. The store stays open: it is its opener's to close. */
  close(): Promise<void>;
}

/** Loads the view from the store and follows its feed until closed. */
export async function createRegistry(options: RegistryOptions): Promise<Result<Registry>> {
  // It hears of commits before it loads, so that none falls in between.
  const registry = new LiveRegistry({ onFault: () => {}, ...options });
  const snapshot = await options.store.loadSnapshot();
  const started = snapshot.ok ? await registry.start(snapshot.value) : snapshot;
  if (started.ok) return ok(registry);
  await registry.close();
  return started;
}
