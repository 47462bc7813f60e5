import type { ErrorCode } from '../../base/errors.ts';
import type {
  DeletedFederatedBundle,
  FederatedBundleDelete,
  FederationDelete,
  WriteMode,
} from '../federation.ts';
import type {
  AgentChange,
  AgentPrune,
  LedgerCopyHead,
  LedgerCopyWrite,
  ManifestMark,
  UnfederatedEntry,
} from '../store.ts';
import type {
  ConnectorChangeRow,
  ConnectorOperations,
  ConnectorRows,
} from './connector-protocol.ts';
import type {
  AgentRow,
  BundleAckRow,
  BundleRow,
  DpuRow,
  EntryDraftRow,
  EntryRow,
  FederatedBundleRow,
  FederationRow,
  IssuingCaRow,
  KeptValueRow,
  RevocationRow,
  SealedKeyRow,
  TokenRow,
} from './rows.ts';

/** An operation of the worker: what it takes and what it answers. */
interface Operation<Args, Answer> {
  readonly args: Args;
  readonly answer: Answer;
}

/** An entry to be made, encoded. */
export interface EntryCreationRow {
  readonly id: string;
  readonly draft: EntryDraftRow;
}

/** An entry to be replaced, encoded. */
export interface EntryUpdateRow extends EntryCreationRow {
  readonly expectedRevision: number | undefined;
}

/** What became of an entry to be created. */
export type CreatedRow =
  | { readonly outcome: 'created' | 'exists'; readonly row: EntryRow }
  | UnfederatedEntry;

/** What became of an entry to be updated. */
export type UpdatedRow =
  | { readonly outcome: 'updated' | 'conflict' | 'exists'; readonly row: EntryRow }
  | { readonly outcome: 'missing' }
  | UnfederatedEntry;

/** What became of a claim of a join token. */
export type ClaimedRow =
  | { readonly outcome: 'claimed'; readonly token: TokenRow }
  | {
      readonly outcome: 'retry';
      readonly token: TokenRow;
      readonly answer: Uint8Array | undefined;
    }
  | { readonly outcome: 'unknown' | 'expired' | 'consumed' };

/** A DPU to be written, encoded. */
export interface DpuWriteRow {
  readonly dpu: Omit<DpuRow, 'revision' | 'checksum'>;
  readonly expectedRevision: number;
}

/** What became of a DPU to be written. */
export type WrittenDpuRow =
  | { readonly outcome: 'written'; readonly row: DpuRow }
  | { readonly outcome: 'conflict'; readonly row: DpuRow | undefined };

/** The bundle of another trust domain to be written, encoded. */
export interface FederatedBundleWriteRow {
  readonly bundle: Omit<FederatedBundleRow, 'revision' | 'checksum'>;
  readonly mode: WriteMode;
  readonly expectedRevision: number | undefined;
  readonly expectedFederation: number | undefined;
}

/** A relationship to be written, encoded. */
export interface FederationWriteRow {
  readonly federation: Omit<FederationRow, 'revision' | 'checksum'>;
  readonly mode: WriteMode;
  readonly expectedRevision: number | undefined;
  readonly bundle: FederatedBundleWriteRow['bundle'] | undefined;
  readonly expectedBundle: number | undefined;
}

/** What became of a row to be written. */
export type WrittenRow<Row> =
  | { readonly outcome: 'written' | 'exists'; readonly row: Row }
  | { readonly outcome: 'missing' | 'conflict' };

/** A line of the change feed; without a row the thing is gone. */
export type ChangeRow =
  | {
      readonly kind: 'entry';
      readonly sequence: number;
      readonly ref: string;
      readonly row: EntryRow | undefined;
    }
  | {
      readonly kind: 'agent';
      readonly sequence: number;
      readonly ref: string;
      readonly row: AgentRow | undefined;
    }
  | {
      readonly kind: 'bundle';
      readonly sequence: number;
      readonly ref: string;
      readonly row: BundleRow | undefined;
    }
  | {
      readonly kind: 'revocation';
      readonly sequence: number;
      readonly ref: string;
      readonly row: RevocationRow | undefined;
    }
  | {
      readonly kind: 'dpu';
      readonly sequence: number;
      readonly ref: string;
      readonly row: DpuRow | undefined;
    }
  | {
      readonly kind: 'issuing-ca';
      readonly sequence: number;
      readonly ref: string;
      readonly row: IssuingCaRow | undefined;
    }
  | {
      readonly kind: 'federation';
      readonly sequence: number;
      readonly ref: string;
      readonly row: FederationRow | undefined;
    }
  | {
      readonly kind: 'federated-bundle';
      readonly sequence: number;
      readonly ref: string;
      readonly row: FederatedBundleRow | undefined;
    }
  | ConnectorChangeRow;

/** Everything that the worker does. */
export interface Operations extends ConnectorOperations {
  /** Opens a snapshot; its entries follow page by page. */
  snapshotStart: Operation<
    undefined,
    {
      readonly sequence: number;
      readonly agents: readonly AgentRow[];
      readonly bundle: BundleRow | undefined;
      readonly revocations: readonly RevocationRow[];
      readonly dpus: readonly DpuRow[];
      readonly issuingCas: readonly IssuingCaRow[];
      readonly federations: readonly FederationRow[];
      readonly federatedBundles: readonly FederatedBundleRow[];
      readonly connectors: ConnectorRows;
    }
  >;
  /** The next page of the open snapshot; an empty one ends it. */
  snapshotNext: Operation<{ readonly limit: number }, readonly EntryRow[]>;
  changesAfter: Operation<
    { readonly sequence: number; readonly limit: number },
    readonly ChangeRow[]
  >;
  createEntries: Operation<
    { readonly creations: readonly EntryCreationRow[]; readonly now: number },
    readonly CreatedRow[]
  >;
  updateEntries: Operation<{ readonly updates: readonly EntryUpdateRow[] }, readonly UpdatedRow[]>;
  deleteEntries: Operation<{ readonly ids: readonly string[] }, readonly boolean[]>;
  createJoinToken: Operation<TokenRow, 'created' | 'exists'>;
  claimJoinToken: Operation<
    { readonly tokenHash: string; readonly csrKeyHash: string; readonly now: number },
    ClaimedRow
  >;
  recordAttestation: Operation<
    {
      readonly agent: Omit<AgentRow, 'checksum'>;
      readonly alias: EntryCreationRow | undefined;
      readonly answer: { readonly tokenHash: string; readonly answer: Uint8Array } | undefined;
      readonly dpu: DpuWriteRow | undefined;
      readonly now: number;
    },
    undefined
  >;
  changeAgent: Operation<
    { readonly id: string; readonly change: AgentChange },
    AgentRow | undefined
  >;
  deleteAgent: Operation<{ readonly id: string }, boolean>;
  pruneAgents: Operation<AgentPrune, number>;
  revoke: Operation<
    { readonly rows: readonly Omit<RevocationRow, 'checksum'>[] },
    readonly string[]
  >;
  putIssuingCa: Operation<Omit<IssuingCaRow, 'checksum'>, IssuingCaRow>;
  writeDpus: Operation<{ readonly writes: readonly DpuWriteRow[] }, readonly WrittenDpuRow[]>;
  writeFederations: Operation<
    { readonly writes: readonly FederationWriteRow[] },
    readonly WrittenRow<FederationRow>[]
  >;
  deleteFederations: Operation<
    { readonly deletes: readonly FederationDelete[] },
    readonly boolean[]
  >;
  writeFederatedBundles: Operation<
    { readonly writes: readonly FederatedBundleWriteRow[] },
    readonly WrittenRow<FederatedBundleRow>[]
  >;
  deleteFederatedBundles: Operation<
    { readonly deletes: readonly FederatedBundleDelete[] },
    readonly DeletedFederatedBundle[]
  >;
  prune: Operation<{ readonly now: number }, undefined>;
  raiseManifestMarks: Operation<
    { readonly marks: readonly ManifestMark[] },
    readonly ManifestMark[]
  >;
  loadSealedKeys: Operation<undefined, readonly SealedKeyRow[]>;
  writeSealedKey: Operation<
    {
      readonly slot: string;
      readonly expectedVersion: number;
      readonly sealed: Uint8Array | undefined;
    },
    number
  >;
  loadKeptValues: Operation<undefined, readonly KeptValueRow[]>;
  writeKeptValue: Operation<
    {
      readonly name: string;
      readonly expectedVersion: number;
      readonly value: Uint8Array | undefined;
    },
    number
  >;
  putLedgerCopy: Operation<LedgerCopyWrite, undefined>;
  ledgerCopy: Operation<{ readonly origin: string }, LedgerCopyHead | undefined>;
  ledgerCopyTile: Operation<
    { readonly origin: string; readonly path: string },
    Uint8Array | undefined
  >;
  loadJournal: Operation<
    undefined,
    {
      readonly version: number;
      readonly journal: Uint8Array | undefined;
      readonly bundle: BundleRow | undefined;
    }
  >;
  commitAuthorities: Operation<
    {
      readonly expectedVersion: number;
      readonly journal: Uint8Array;
      readonly bundle: { readonly refreshHint: number; readonly body: string } | undefined;
    },
    { readonly version: number; readonly bundleSequence: number | undefined }
  >;
  loadBundleAcks: Operation<undefined, readonly BundleAckRow[]>;
  recordBundleAcks: Operation<{ readonly acks: readonly BundleAckRow[] }, undefined>;
}

/** Name of an operation. */
export type OperationName = keyof Operations;

/** What an operation takes. */
export type ArgsOf<K extends OperationName> = Operations[K]['args'];

/** What an operation answers. */
export type AnswerOf<K extends OperationName> = Operations[K]['answer'];

/** Main thread to worker; `close` ends it. */
export type WorkerRequest =
  | { readonly id: number; readonly op: OperationName; readonly args: unknown }
  | { readonly op: 'close' };

/** An error on its way between threads. */
export interface WorkerError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** For the log. */
  readonly cause: string | undefined;
}

/** Worker to main thread. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly error: WorkerError }
  /** Changes were committed. Comes before the answers of the writes that made them. */
  | { readonly kind: 'wake' }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: WorkerError };

/** What the worker is started with. */
export interface WorkerStart {
  readonly path: string;
  readonly trustDomain: string;
  readonly keptChanges: number;
}
