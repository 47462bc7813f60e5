import { ok, type Result } from '../../base/result.ts';
import type { AgentRecord, Entry } from '../../rules/entry.ts';
import type { IssuingCa } from '../../rules/issuing-ca.ts';
import type { Revocation } from '../../rules/revocation.ts';
import type { FileLock } from '../../runtime/file-lock.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type {
  DeletedFederatedBundle,
  FederatedBundleDelete,
  FederatedBundleWrite,
  FederationDelete,
  FederationWrite,
  WrittenFederatedBundle,
  WrittenFederation,
} from '../federation.ts';
import type { KeptValue, KeptValueWrite } from '../kept-values.ts';
import type {
  AgentChange,
  AgentPrune,
  AttestationWrite,
  AuthorityWrite,
  BundleAck,
  Change,
  CreatedEntry,
  DpuWrite,
  EntryCreation,
  EntryUpdate,
  JoinTokenClaim,
  JoinTokenRecord,
  LedgerCopyHead,
  LedgerCopyWrite,
  ManifestMark,
  SealedKeyRecord,
  SealedKeyWrite,
  Store,
  StoreSnapshot,
  UpdatedEntry,
  WrittenDpu,
} from '../store.ts';
import { decodeAgent, encodeAgent } from './agent-codec.ts';
import { all } from './all.ts';
import { decodeBundle, encodeBundle } from './bundle-codec.ts';
import { decodeConnectors } from './connector-codec.ts';
import { SqliteConnectors } from './connector-store.ts';
import { decodeChange } from './decode-change.ts';
import { decodeDpu, decodeWrittenDpu, encodeDpuWrite } from './dpu-codec.ts';
import { decodeEntry, encodeDraft } from './entry-codec.ts';
import {
  decodeFederatedBundle,
  decodeFederation,
  decodeWrittenFederatedBundle,
  decodeWrittenFederation,
  encodeFederatedBundleWrite,
  encodeFederationWrite,
} from './federation-codec.ts';
import { createInterner, type Interner } from './interner.ts';
import { decodeIssuingCa, encodeIssuingCa } from './issuing-ca-codec.ts';
import type { CreatedRow, UpdatedRow } from './protocol.ts';
import { decodeRevocation, encodeRevocation } from './revocation-codec.ts';
import type { BundleRow, TokenRow } from './rows.ts';
import type { WorkerClient } from './worker-client.ts';

/** Entries of one page of a snapshot. */
const PAGE = 2000;

/** The embedded store: encodes and decodes here, reads and writes in its thread. */
export class SqliteStore extends SqliteConnectors implements Store {
  readonly #worker: WorkerClient;
  readonly #lock: FileLock;
  readonly #trustDomain: TrustDomain;
  readonly #feedId: string;
  readonly #intern: Interner;

  constructor(parts: {
    readonly worker: WorkerClient;
    readonly lock: FileLock;
    readonly trustDomain: TrustDomain;
    readonly feedId: string;
  }) {
    const intern = createInterner();
    super(parts.worker, intern);
    this.#intern = intern;
    this.#worker = parts.worker;
    this.#lock = parts.lock;
    this.#trustDomain = parts.trustDomain;
    this.#feedId = parts.feedId;
  }

  async loadSnapshot(): Promise<Result<StoreSnapshot>> {
    const start = await this.#worker.call('snapshotStart', undefined);
    if (!start.ok) return start;
    const entries = await this.#loadEntries();
    if (!entries.ok) return entries;
    const agents = all(start.value.agents, (row) => decodeAgent(row, this.#intern));
    if (!agents.ok) return agents;
    const bundle = this.#decodeBundle(start.value.bundle);
    if (!bundle.ok) return bundle;
    const revocations = all(start.value.revocations, (row) => decodeRevocation(row, this.#intern));
    if (!revocations.ok) return revocations;
    const dpus = all(start.value.dpus, (row) => decodeDpu(row, this.#intern));
    if (!dpus.ok) return dpus;
    const issuingCas = all(start.value.issuingCas, decodeIssuingCa);
    if (!issuingCas.ok) return issuingCas;
    const federations = all(start.value.federations, decodeFederation);
    if (!federations.ok) return federations;
    const federatedBundles = all(start.value.federatedBundles, decodeFederatedBundle);
    if (!federatedBundles.ok) return federatedBundles;
    const connectors = decodeConnectors(start.value.connectors, this.#intern);
    if (!connectors.ok) return connectors;
    return ok({
      feedId: this.#feedId,
      sequence: BigInt(start.value.sequence),
      entries: entries.value,
      agents: agents.value,
      bundle: bundle.value,
      revocations: revocations.value,
      dpus: dpus.value,
      issuingCas: issuingCas.value,
      federations: federations.value,
      federatedBundles: federatedBundles.value,
      connectors: connectors.value,
    });
  }

  async changesAfter(sequence: bigint, limit: number): Promise<Result<readonly Change[]>> {
    const rows = await this.#worker.call('changesAfter', { sequence: Number(sequence), limit });
    return rows.ok
      ? all(rows.value, (row) => decodeChange(row, this.#intern, this.#trustDomain))
      : rows;
  }

  onWake(wake: () => void): () => void {
    return this.#worker.onWake(wake);
  }

  async createEntries(
    creations: readonly EntryCreation[],
    nowSeconds: number,
  ): Promise<Result<readonly CreatedEntry[]>> {
    const rows = await this.#worker.call('createEntries', {
      creations: creations.map(({ id, draft }) => ({ id, draft: encodeDraft(draft) })),
      now: nowSeconds,
    });
    return rows.ok ? all(rows.value, (row) => this.#decodeCreated(row)) : rows;
  }

  async updateEntries(updates: readonly EntryUpdate[]): Promise<Result<readonly UpdatedEntry[]>> {
    const rows = await this.#worker.call('updateEntries', {
      updates: updates.map(({ id, draft, expectedRevision }) => ({
        id,
        draft: encodeDraft(draft),
        expectedRevision: expectedRevision === undefined ? undefined : Number(expectedRevision),
      })),
    });
    return rows.ok ? all(rows.value, (row) => this.#decodeUpdated(row)) : rows;
  }

  deleteEntries(ids: readonly string[]): Promise<Result<readonly boolean[]>> {
    return this.#worker.call('deleteEntries', { ids });
  }

  createJoinToken(token: JoinTokenRecord): Promise<Result<'created' | 'exists'>> {
    return this.#worker.call('createJoinToken', {
      tokenHash: token.tokenHash,
      expiresAt: token.expiresAtSeconds,
      aliasId: token.aliasId?.uri ?? null,
    });
  }

  async claimJoinToken(
    tokenHash: string,
    csrKeyHash: string,
    nowSeconds: number,
  ): Promise<Result<JoinTokenClaim>> {
    const args = { tokenHash, csrKeyHash, now: nowSeconds };
    const claimed = await this.#worker.call('claimJoinToken', args);
    if (!claimed.ok) return claimed;
    if (!('token' in claimed.value)) return ok(claimed.value);
    const token = this.#decodeToken(claimed.value.token);
    return token.ok ? ok({ ...claimed.value, token: token.value }) : token;
  }

  async recordAttestation(write: AttestationWrite): Promise<Result<void>> {
    const { agent, aliasEntry, joinTokenAnswer, dpu, nowSeconds } = write;
    return this.#worker.call('recordAttestation', {
      agent: encodeAgent(agent),
      alias: aliasEntry && { id: aliasEntry.id, draft: encodeDraft(aliasEntry.draft) },
      answer: joinTokenAnswer,
      dpu: dpu && encodeDpuWrite(dpu),
      now: nowSeconds,
    });
  }

  async changeAgent(
    agentId: SpiffeId,
    change: AgentChange,
  ): Promise<Result<AgentRecord | undefined>> {
    const row = await this.#worker.call('changeAgent', { id: agentId.uri, change });
    if (!row.ok) return row;
    return row.value === undefined ? ok(undefined) : decodeAgent(row.value, this.#intern);
  }

  deleteAgent(agentId: SpiffeId): Promise<Result<boolean>> {
    return this.#worker.call('deleteAgent', { id: agentId.uri });
  }

  pruneAgents(prune: AgentPrune): Promise<Result<number>> {
    return this.#worker.call('pruneAgents', prune);
  }

  revoke(revocations: readonly Revocation[]): Promise<Result<readonly string[]>> {
    return this.#worker.call('revoke', { rows: revocations.map(encodeRevocation) });
  }

  async putIssuingCa(issuingCa: IssuingCa): Promise<Result<IssuingCa>> {
    const row = await this.#worker.call('putIssuingCa', encodeIssuingCa(issuingCa));
    return row.ok ? decodeIssuingCa(row.value) : row;
  }

  async writeDpus(writes: readonly DpuWrite[]): Promise<Result<readonly WrittenDpu[]>> {
    const rows = await this.#worker.call('writeDpus', { writes: writes.map(encodeDpuWrite) });
    return rows.ok ? all(rows.value, (row) => decodeWrittenDpu(row, this.#intern)) : rows;
  }

  async writeFederations(
    writes: readonly FederationWrite[],
  ): Promise<Result<readonly WrittenFederation[]>> {
    const args = { writes: writes.map(encodeFederationWrite) };
    const rows = await this.#worker.call('writeFederations', args);
    return rows.ok ? all(rows.value, decodeWrittenFederation) : rows;
  }

  deleteFederations(deletes: readonly FederationDelete[]): Promise<Result<readonly boolean[]>> {
    return this.#worker.call('deleteFederations', { deletes });
  }

  async writeFederatedBundles(
    writes: readonly FederatedBundleWrite[],
  ): Promise<Result<readonly WrittenFederatedBundle[]>> {
    const args = { writes: writes.map(encodeFederatedBundleWrite) };
    const rows = await this.#worker.call('writeFederatedBundles', args);
    return rows.ok ? all(rows.value, decodeWrittenFederatedBundle) : rows;
  }

  deleteFederatedBundles(
    deletes: readonly FederatedBundleDelete[],
  ): Promise<Result<readonly DeletedFederatedBundle[]>> {
    return this.#worker.call('deleteFederatedBundles', { deletes });
  }

  prune(nowSeconds: number): Promise<Result<void>> {
    return this.#worker.call('prune', { now: nowSeconds });
  }

  putLedgerCopy(write: LedgerCopyWrite): Promise<Result<void>> {
    return this.#worker.call('putLedgerCopy', write);
  }

  ledgerCopy(origin: string): Promise<Result<LedgerCopyHead | undefined>> {
    return this.#worker.call('ledgerCopy', { origin });
  }

  ledgerCopyTile(origin: string, path: string): Promise<Result<Uint8Array | undefined>> {
    return this.#worker.call('ledgerCopyTile', { origin, path });
  }

  raiseManifestMarks(marks: readonly ManifestMark[]): Promise<Result<readonly ManifestMark[]>> {
    return this.#worker.call('raiseManifestMarks', { marks });
  }

  async loadSealedKeys(): Promise<Result<readonly SealedKeyRecord[]>> {
    const rows = await this.#worker.call('loadSealedKeys', undefined);
    if (!rows.ok) return rows;
    return ok(
      rows.value.map(({ slot, version, sealed }) => ({
        slot,
        version: BigInt(version),
        sealed: sealed ?? undefined,
      })),
    );
  }

  async writeSealedKey({ slot, expectedVersion, sealed }: SealedKeyWrite): Promise<Result<bigint>> {
    const args = { slot, expectedVersion: Number(expectedVersion), sealed };
    const version = await this.#worker.call('writeSealedKey', args);
    return version.ok ? ok(BigInt(version.value)) : version;
  }

  async loadKeptValues(): Promise<Result<readonly KeptValue[]>> {
    const rows = await this.#worker.call('loadKeptValues', undefined);
    if (!rows.ok) return rows;
    return ok(rows.value.map((row) => ({ ...row, version: BigInt(row.version) })));
  }

  async writeKeptValue({ name, expectedVersion, value }: KeptValueWrite): Promise<Result<bigint>> {
    const args = { name, expectedVersion: Number(expectedVersion), value };
    const version = await this.#worker.call('writeKeptValue', args);
    return version.ok ? ok(BigInt(version.value)) : version;
  }

  async loadJournal(): ReturnType<Store['loadJournal']> {
    const row = await this.#worker.call('loadJournal', undefined);
    if (!row.ok) return row;
    const bundle = this.#decodeBundle(row.value.bundle);
    if (!bundle.ok) return bundle;
    const { version, journal } = row.value;
    return ok({ version: BigInt(version), journal, bundle: bundle.value });
  }

  async commitAuthorities(
    write: AuthorityWrite,
  ): Promise<Result<{ readonly version: bigint; readonly bundle: Bundle | undefined }>> {
    const committed = await this.#worker.call('commitAuthorities', {
      expectedVersion: Number(write.expectedVersion),
      journal: write.journal,
      bundle: write.bundle && encodeBundle(write.bundle),
    });
    if (!committed.ok) return committed;
    const { version, bundleSequence } = committed.value;
    const bundle =
      write.bundle === undefined || bundleSequence === undefined
        ? undefined
        : { ...write.bundle, sequence: BigInt(bundleSequence) };
    return ok({ version: BigInt(version), bundle });
  }

  async loadBundleAcks(): Promise<Result<readonly BundleAck[]>> {
    const rows = await this.#worker.call('loadBundleAcks', undefined);
    if (!rows.ok) return rows;
    const acks = rows.value.map(({ agentId, sequence, heardAt }) => ({
      agentId,
      sequence: BigInt(sequence),
      heardAtMs: heardAt,
    }));
    return ok(acks);
  }

  recordBundleAcks(acks: readonly BundleAck[]): Promise<Result<void>> {
    const rows = acks.map(({ agentId, sequence, heardAtMs }) => ({
      agentId,
      sequence: Number(sequence),
      heardAt: Math.floor(heardAtMs),
    }));
    return this.#worker.call('recordBundleAcks', { acks: rows });
  }

  async close(): Promise<void> {
    await this.#worker.close();
    this.#lock.release();
  }

  async #loadEntries(): Promise<Result<readonly Entry[]>> {
    const entries: Entry[] = [];
    let coming = this.#worker.call('snapshotNext', { limit: PAGE });
    for (;;) {
      const page = await coming;
      if (!page.ok) return page;
      if (page.value.length === 0) return ok(entries);
      // Its thread reads the next page while this one is decoded.
      coming = this.#worker.call('snapshotNext', { limit: PAGE });
      for (const row of page.value) {
        const entry = decodeEntry(row, this.#intern);
        if (!entry.ok) return entry;
        entries.push(entry.value);
      }
    }
  }

  #decodeBundle(row: BundleRow | undefined): Result<Bundle | undefined> {
    return row === undefined ? ok(undefined) : decodeBundle(row, this.#trustDomain);
  }

  #decodeCreated(created: CreatedRow): Result<CreatedEntry> {
    if (created.outcome === 'unfederated') return ok(created);
    const entry = decodeEntry(created.row, this.#intern);
    return entry.ok ? ok({ outcome: created.outcome, entry: entry.value }) : entry;
  }

  #decodeUpdated(updated: UpdatedRow): Result<UpdatedEntry> {
    if (!('row' in updated)) return ok(updated);
    const entry = decodeEntry(updated.row, this.#intern);
    return entry.ok ? ok({ outcome: updated.outcome, entry: entry.value }) : entry;
  }

  #decodeToken({ tokenHash, expiresAt, aliasId }: TokenRow): Result<JoinTokenRecord> {
    const alias = aliasId === null ? ok(undefined) : this.#intern.newSpiffeId(aliasId);
    if (!alias.ok) return alias;
    return ok({ tokenHash, expiresAtSeconds: expiresAt, aliasId: alias.value });
  }
}
