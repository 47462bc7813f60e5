import type { Result } from '../base/result.ts';
import type { AgentRecord, Entry, EntryDraft } from '../rules/entry.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** One line of the change feed: what changed, in commit order. Values are the state after it. */
export type Change =
  | { readonly kind: 'entry'; readonly sequence: bigint; readonly entry: Entry }
  | { readonly kind: 'entry-deleted'; readonly sequence: bigint; readonly entryId: string }
  | { readonly kind: 'agent'; readonly sequence: bigint; readonly agent: AgentRecord }
  | { readonly kind: 'agent-deleted'; readonly sequence: bigint; readonly agentId: string }
  | { readonly kind: 'bundle'; readonly sequence: bigint; readonly bundle: Bundle };

/** Everything that the registry starts from, read at one point of the feed. */
export interface StoreSnapshot {
  /** Identity of this feed; a restored or another database has another one. */
  readonly feedId: string;
  readonly sequence: bigint;
  readonly entries: readonly Entry[];
  readonly agents: readonly AgentRecord[];
  readonly bundle: Bundle | undefined;
}

/** Outcome of one created entry. */
export type CreatedEntry =
  | { readonly outcome: 'created'; readonly entry: Entry }
  /** Same parent, SPIFFE ID and selectors: nothing was written. */
  | { readonly outcome: 'exists'; readonly entry: Entry };

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

/** One attestation made durable in a single transaction. */
export interface AttestationWrite {
  readonly agent: AgentRecord;
  /** Alias entry (parent `/spire/server`) to be made with it, if any. */
  readonly aliasEntry: EntryDraft | undefined;
  /** Encoded answer kept with the join token for a retry. */
  readonly joinTokenAnswer: { readonly tokenHash: string; readonly answer: Uint8Array } | undefined;
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

/**
 * Durable state. Every write is one transaction that also appends its change records, and answers
 * only when it is durable. Reads serve start-up and the change feed; no request handler calls them.
 */
export interface Store {
  loadSnapshot(): Promise<Result<StoreSnapshot>>;
  /** Changes after `sequence` in commit order, at most `limit`. */
  changesAfter(sequence: bigint, limit: number): Promise<Result<readonly Change[]>>;
  /** Calls `wake` after each commit that may have appended changes. Returns what ends it. */
  onWake(wake: () => void): () => void;

  /** Creates entries, ids and revisions included, in one transaction; answers in order. */
  createEntries(
    drafts: readonly { readonly id: string; readonly draft: EntryDraft }[],
    nowSeconds: number,
  ): Promise<Result<readonly CreatedEntry[]>>;
  /** Replaces entries by id and raises their revision; `undefined` where there is none. */
  updateEntries(
    updates: readonly { readonly id: string; readonly draft: EntryDraft }[],
  ): Promise<Result<readonly (Entry | undefined)[]>>;
  /** Deletes entries by id; false where there was none. */
  deleteEntries(ids: readonly string[]): Promise<Result<readonly boolean[]>>;

  createJoinToken(token: JoinTokenRecord): Promise<Result<'created' | 'exists'>>;
  /** Marks a token as used; the CSR key's hash and the time decide on a retry (60 s). */
  claimJoinToken(
    tokenHash: string,
    csrKeyHash: string,
    nowSeconds: number,
  ): Promise<Result<JoinTokenClaim>>;

  recordAttestation(write: AttestationWrite): Promise<Result<void>>;
  /** Replaces an agent's record; answers false when it is gone. */
  updateAgent(agent: AgentRecord): Promise<Result<boolean>>;
  /** Deletes an agent, and with a join-token agent its alias entries; false when it was gone. */
  deleteAgent(agentId: string): Promise<Result<boolean>>;
  /** Deletes join tokens past their end and their retry window, entries past their expiry. */
  prune(nowSeconds: number): Promise<Result<void>>;

  /** Journal and bundle, read at one moment, so that a loser of the compare-and-swap sees both. */
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

  close(): Promise<void>;
}
