import type { Result } from '../base/result.ts';
import type { Assurance } from '../rules/assurance.ts';
import type { DpuDraft, DpuRecord } from '../rules/dpu.ts';
import type { AgentRecord, Entry, EntryDraft } from '../rules/entry.ts';
import type { FederatedBundle, Federation } from '../rules/federation.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import type { Revocation } from '../rules/revocation.ts';
import type { Selector } from '../rules/selector.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ConnectorFeedChange, ConnectorSnapshot, ConnectorStore } from './connectors.ts';
import type {
  DeletedFederatedBundle,
  FederatedBundleDelete,
  FederatedBundleWrite,
  FederationDelete,
  FederationWrite,
  WrittenFederatedBundle,
  WrittenFederation,
} from './federation.ts';
import type { KeptValueStore } from './kept-values.ts';

/** One line of the change feed: what changed, in commit order. Values are the state after it or newer. */
export type Change =
  | { readonly kind: 'entry'; readonly sequence: bigint; readonly entry: Entry }
  | { readonly kind: 'entry-deleted'; readonly sequence: bigint; readonly entryId: string }
  | { readonly kind: 'agent'; readonly sequence: bigint; readonly agent: AgentRecord }
  | { readonly kind: 'agent-deleted'; readonly sequence: bigint; readonly agentId: string }
  | { readonly kind: 'bundle'; readonly sequence: bigint; readonly bundle: Bundle }
  | { readonly kind: 'revocation'; readonly sequence: bigint; readonly revocation: Revocation }
  | { readonly kind: 'dpu'; readonly sequence: bigint; readonly dpu: DpuRecord }
  | { readonly kind: 'issuing-ca'; readonly sequence: bigint; readonly issuingCa: IssuingCa }
  /** A relationship with another trust domain; undefined where it is gone. */
  | {
      readonly kind: 'federation';
      readonly sequence: bigint;
      readonly trustDomain: string;
      readonly federation: Federation | undefined;
    }
  /** The bundle of another trust domain; undefined where it is gone. */
  | {
      readonly kind: 'federated-bundle';
      readonly sequence: bigint;
      readonly trustDomain: string;
      readonly federatedBundle: FederatedBundle | undefined;
    }
  /** Something of connectors. */
  | (ConnectorFeedChange & { readonly sequence: bigint })
  /** A revocation or an issuing CA that was gone again before it was read: it has ended. */
  | { readonly kind: 'ended'; readonly sequence: bigint };

/** Everything that the registry starts from, read at one point of the feed. */
export interface StoreSnapshot {
  /** Identity of this feed; a restored or another database has another one. */
  readonly feedId: string;
  readonly sequence: bigint;
  readonly entries: readonly Entry[];
  readonly agents: readonly AgentRecord[];
  readonly bundle: Bundle | undefined;
  readonly revocations: readonly Revocation[];
  readonly dpus: readonly DpuRecord[];
  readonly issuingCas: readonly IssuingCa[];
  readonly federations: readonly Federation[];
  readonly federatedBundles: readonly FederatedBundle[];
  readonly connectors: ConnectorSnapshot;
}

/** An entry to be made, under an ID that nothing else has. */
export interface EntryCreation {
  readonly id: string;
  readonly draft: EntryDraft;
}

/** Outcome of one entry to be created. */
export type CreatedEntry =
  | { readonly outcome: 'created'; readonly entry: Entry }
  /** Same parent, SPIFFE ID and selectors, or the same ID: nothing was written. */
  | { readonly outcome: 'exists'; readonly entry: Entry }
  | UnfederatedEntry;

/** An entry that was not written: of a trust domain that it federates with (bare name) there is no bundle. */
export interface UnfederatedEntry {
  readonly outcome: 'unfederated';
  readonly trustDomain: string;
}

/** A new state for an entry. */
export interface EntryUpdate {
  readonly id: string;
  readonly draft: EntryDraft;
  /** Revision that the draft was made from; given, another one is a conflict. */
  readonly expectedRevision?: bigint | undefined;
}

/** Outcome of one entry to be updated; only `updated` wrote something. */
export type UpdatedEntry =
  | { readonly outcome: 'updated'; readonly entry: Entry }
  | { readonly outcome: 'missing' }
  /** The entry is as it stands now: another update came first. */
  | { readonly outcome: 'conflict'; readonly entry: Entry }
  /** The other entry with this parent, SPIFFE ID and selectors. */
  | { readonly outcome: 'exists'; readonly entry: Entry }
  | UnfederatedEntry;

/** A join token at rest: its hash, never its text. */
export interface JoinTokenRecord {
  /** SHA-256 of the token, hex. */
  readonly tokenHash: string;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
  /** SPIFFE ID that the attested agent also answers to. */
  readonly aliasId: SpiffeId | undefined;
}

/** What came of claiming a join token. Exactly one concurrent claimer is `claimed`. */
export type JoinTokenClaim =
  | { readonly outcome: 'claimed'; readonly token: JoinTokenRecord }
  /**
   * Claimed before by the same CSR key within the retry window: its reply may have been lost.
   * `answer` is what was sent then, if it came that far.
   */
  | {
      readonly outcome: 'retry';
      readonly token: JoinTokenRecord;
      readonly answer: Uint8Array | undefined;
    }
  | { readonly outcome: 'unknown' | 'expired' | 'consumed' };

/** A DPU to be made, or to be replaced, by compare-and-swap. */
export interface DpuWrite {
  readonly dpu: DpuDraft;
  /** Revision that it was made from; 0 where there was none. */
  readonly expectedRevision: bigint;
}

/** What became of a DPU to be written; on a conflict, how it stands. */
export interface WrittenDpu {
  readonly outcome: 'written' | 'conflict';
  /** Undefined only where it was expected and is not there. */
  readonly dpu: DpuRecord | undefined;
}

/** One attestation made durable in a single transaction. */
export interface AttestationWrite {
  readonly agent: AgentRecord;
  /** Alias entry (parent `/spire/server`) to be made with it, if any; it goes when the agent goes. */
  readonly aliasEntry: EntryCreation | undefined;
  /** Encoded answer kept with the join token for a retry. */
  readonly joinTokenAnswer: { readonly tokenHash: string; readonly answer: Uint8Array } | undefined;
  /** The DPU that the evidence was of, as it stands afterwards; a conflict undoes the attestation. */
  readonly dpu?: DpuWrite | undefined;
  /** Unix seconds. */
  readonly nowSeconds: number;
}

/** One step in an agent's life; applied to the row as it stands, so that no step undoes another. */
export type AgentChange =
  /** A renewed SVID went out; it becomes the agent's own on first use. No effect on a banned agent. */
  | {
      readonly kind: 'renewed';
      readonly newSerial: string;
      readonly newExpiresAtSeconds: number;
    }
  /** The renewed SVID with this serial was used. No effect when it is not the one awaited. */
  | { readonly kind: 'promoted'; readonly serial: string }
  /**
   * What the node's attestation is worth, and its selectors, after the server looked for itself. No effect
   * where the agent's SVID is not the one with `serial` any more: another attestation came.
   */
  | {
      readonly kind: 'confirmed';
      readonly serial: string;
      readonly assurance: Assurance;
      readonly selectors: readonly Selector[];
    }
  | { readonly kind: 'banned' }
  | { readonly kind: 'status'; readonly agentVersion: string };

/** Which agents are to be forgotten. */
export interface AgentPrune {
  /** Unix seconds: those whose SVIDs, a renewed one that was not used yet included, ended by then. */
  readonly expiredBySeconds: number;
  /** Whether those go too that cannot attest again by themselves. */
  readonly nonReattestable: boolean;
  /** Most that go at once; those that ended first go first. */
  readonly limit: number;
}

/** Authorities' journal and bundle, written together by compare-and-swap. */
export interface AuthorityWrite {
  /** Version that was read; 0 when there was none. */
  readonly expectedVersion: bigint;
  /** Opaque to the store. */
  readonly journal: Uint8Array;
  /** New bundle; the store sets its sequence to the next one and answers with it. */
  readonly bundle: Bundle | undefined;
}

/** How far an agent is: the newest bundle of its trust domain that it has. */
export interface BundleAck {
  readonly agentId: string;
  readonly sequence: bigint;
  /** When it was last heard, in Unix milliseconds. */
  readonly heardAtMs: number;
}

/** What is kept of the key of a slot, encrypted by whoever gave it; opaque to the store. */
export interface SealedKeyRecord {
  readonly slot: string;
  /** Counts the writes to this slot; the first is 1. */
  readonly version: bigint;
  /** Undefined where the key was given up. */
  readonly sealed: Uint8Array | undefined;
}

/** A sealed key to be written by compare-and-swap. */
export interface SealedKeyWrite {
  readonly slot: string;
  /** Version that was read; 0 when there was none. */
  readonly expectedVersion: bigint;
  readonly sealed: Uint8Array | undefined;
}

/** A tile or bundle of a ledger by its full path, whatever its width is now. */
export interface LedgerTile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The newest checkpoint of a ledger whose tiles are all copied. */
export interface LedgerCopyHead {
  readonly size: number;
  readonly checkpoint: Uint8Array;
}

/** Tiles to be copied, in place of what was copied under their paths before. */
export interface LedgerCopyWrite {
  readonly origin: string;
  readonly tiles: readonly LedgerTile[];
  readonly head: LedgerCopyHead | undefined;
}

/** The newest revision of a reference manifest that was ever in force. */
export interface ManifestMark {
  /** The manifest's own id. */
  readonly id: string;
  readonly sequence: number;
  /** Of its payload, hex. */
  readonly sha256: string;
}

/**
 * Durable state. Every write is one transaction that also appends its change records, and answers
 * only when it is durable. Reads serve start-up and the change feed; no request handler calls them.
 */
export interface Store extends ConnectorStore, KeptValueStore {
  loadSnapshot(): Promise<Result<StoreSnapshot>>;
  /**
   * Changes after `sequence` in commit order, at most `limit`. Values are the newest at the time of
   * reading, so several changes to one thing may all carry its last state. Fails with STORE_FEED_GAP
   * when changes after `sequence` are no longer kept: the snapshot is to be read again.
   */
  changesAfter(sequence: bigint, limit: number): Promise<Result<readonly Change[]>>;
  /** Calls `wake` after each commit that may have appended changes, before the write answers. Returns what ends it. */
  onWake(wake: () => void): () => void;

  /** Creates entries in one transaction; answers in order. Revisions start at 0. */
  createEntries(
    creations: readonly EntryCreation[],
    nowSeconds: number,
  ): Promise<Result<readonly CreatedEntry[]>>;
  /** Replaces entries by ID in one transaction and raises their revisions; answers in order. */
  updateEntries(updates: readonly EntryUpdate[]): Promise<Result<readonly UpdatedEntry[]>>;
  /** Deletes entries by ID; false where there was none. */
  deleteEntries(ids: readonly string[]): Promise<Result<readonly boolean[]>>;

  createJoinToken(token: JoinTokenRecord): Promise<Result<'created' | 'exists'>>;
  /** Marks a token as used; the CSR key's hash and the time decide on a retry (60 s). */
  claimJoinToken(
    tokenHash: string,
    csrKeyHash: string,
    nowSeconds: number,
  ): Promise<Result<JoinTokenClaim>>;

  /** Makes or replaces an agent; refuses, writing nothing, with AGENT_BANNED when it is banned, with STORE_CONFLICT as its DPU changed. */
  recordAttestation(write: AttestationWrite): Promise<Result<void>>;
  /** Applies a step to an agent and answers with its new state; undefined when it is gone. */
  changeAgent(agentId: SpiffeId, change: AgentChange): Promise<Result<AgentRecord | undefined>>;
  /** Deletes an agent and the alias entry that its attestation made; false when it was gone. */
  deleteAgent(agentId: SpiffeId): Promise<Result<boolean>>;
  /** Deletes expired agents in one transaction, as `deleteAgent` does, never banned ones; answers how many. */
  pruneAgents(prune: AgentPrune): Promise<Result<number>>;
  /** Adds revocations in one transaction, for ever; answers the serials that were not revoked before. */
  revoke(revocations: readonly Revocation[]): Promise<Result<readonly string[]>>;
  /**
   * Takes in an issuing CA, or its next state: one that is as far already, or further, stays as it is.
   * Answers how it stands.
   */
  putIssuingCa(issuingCa: IssuingCa): Promise<Result<IssuingCa>>;
  /** Makes or replaces DPUs of the inventory in one transaction; answers in order. They are never deleted. */
  writeDpus(writes: readonly DpuWrite[]): Promise<Result<readonly WrittenDpu[]>>;
  /** Makes or changes relationships in one transaction; answers in order. */
  writeFederations(
    writes: readonly FederationWrite[],
  ): Promise<Result<readonly WrittenFederation[]>>;
  /** Ends relationships in one transaction; answers in order, false where there was none. */
  deleteFederations(deletes: readonly FederationDelete[]): Promise<Result<readonly boolean[]>>;
  /** Makes or replaces bundles of other trust domains in one transaction; answers in order. */
  writeFederatedBundles(
    writes: readonly FederatedBundleWrite[],
  ): Promise<Result<readonly WrittenFederatedBundle[]>>;
  /** Deletes such bundles, and what the mode says of entries, in one transaction; answers in order. */
  deleteFederatedBundles(
    deletes: readonly FederatedBundleDelete[],
  ): Promise<Result<readonly DeletedFederatedBundle[]>>;

  /**
   * Deletes join tokens past their end and their retry window, expired entries, revocations and issuing CAs
   * that have ended, and provisioning keys a week past their end with the record of who used them.
   */
  prune(nowSeconds: number): Promise<Result<void>>;

  /**
   * Raises the marks of manifests in one transaction, all or none: nothing is written where one is kept
   * with a higher sequence, or with the same of another content. Answers how each stands afterwards, in
   * order; sequence 0 where there is none. Marks are never lowered or deleted.
   */
  raiseManifestMarks(marks: readonly ManifestMark[]): Promise<Result<readonly ManifestMark[]>>;

  /** Every sealed key; no change feed tells of them. */
  loadSealedKeys(): Promise<Result<readonly SealedKeyRecord[]>>;
  /** Answers the new version. Fails with STORE_CONFLICT when the version is not the one expected. */
  writeSealedKey(write: SealedKeyWrite): Promise<Result<bigint>>;

  /** Copies tiles of a ledger in one transaction; appends no changes. */
  putLedgerCopy(write: LedgerCopyWrite): Promise<Result<void>>;
  /** How far the copy of a ledger has come; undefined where there is none. */
  ledgerCopy(origin: string): Promise<Result<LedgerCopyHead | undefined>>;
  /** A tile of the copy. */
  ledgerCopyTile(origin: string, path: string): Promise<Result<Uint8Array | undefined>>;

  loadJournal(): Promise<
    Result<{
      readonly version: bigint;
      readonly journal: Uint8Array | undefined;
      readonly bundle: Bundle | undefined;
    }>
  >;
  /** Fails with STORE_CONFLICT when the version is not the one expected. */
  commitAuthorities(
    write: AuthorityWrite,
  ): Promise<Result<{ readonly version: bigint; readonly bundle: Bundle | undefined }>>;

  /** Acknowledgements of all agents, of this server and of others. */
  loadBundleAcks(): Promise<Result<readonly BundleAck[]>>;
  /** Keeps acknowledgements, each in place of the agent's last; of agents that are gone, none. */
  recordBundleAcks(acks: readonly BundleAck[]): Promise<Result<void>>;

  close(): Promise<void>;
}
