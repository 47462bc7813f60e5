import { type Failed, ok, type Result } from '../../base/result.ts';
import { REVOCATION_GRACE_SECONDS } from '../../rules/revocation.ts';
import { changeAgent, deleteAgent, pruneAgents, recordAttestation } from './agents.ts';
import { commitAuthorities, loadJournal } from './authorities.ts';
import { allBundleAcks, recordBundleAcks } from './bundle-acks.ts';
import { lastSequence } from './changes.ts';
import { enrolConnector } from './connector-enrol.ts';
import {
  deleteConnectorGroups,
  deleteConnectorSegments,
  writeConnectorGroups,
  writeConnectorSegments,
} from './connector-groups.ts';
import {
  createProvisioningKey,
  deleteBoundKeys,
  deleteEndedProvisioningKeys,
  deleteProvisioningKeys,
  registerBoundKey,
} from './connector-keys.ts';
import type { ConnectorOperations } from './connector-protocol.ts';
import { changeConnectors, deleteConnectors } from './connectors.ts';
import type { Database } from './database.ts';
import { writeDpus } from './dpus.ts';
import { createEntries, deleteEntries, deleteExpiredEntries, updateEntries } from './entries.ts';
import { writeFederatedBundles } from './federated-bundles.ts';
import { deleteFederatedBundles, deleteFederations, writeFederations } from './federations.ts';
import { changesAfter, pruneChanges } from './feed.ts';
import { deleteEndedIssuingCas, putIssuingCa } from './issuing-cas.ts';
import { claimJoinToken, createJoinToken, deleteExpiredTokens } from './join-tokens.ts';
import { loadKeptValues, writeKeptValue } from './kept-values.ts';
import { ledgerCopy, ledgerCopyTile, putLedgerCopy } from './ledger-copies.ts';
import { raiseManifestMarks } from './manifest-marks.ts';
import { countCommit, type MarkKeeper, markIn } from './mark.ts';
import type { AnswerOf, ArgsOf, OperationName, WorkerStart } from './protocol.ts';
import { deleteEndedRevocations, revoke } from './revocations.ts';
import { loadSealedKeys, writeSealedKey } from './sealed-keys.ts';
import { SnapshotReader } from './snapshot.ts';
import { isFsyncFailure, sqliteFailure } from './sqlite-errors.ts';

/** An operation waiting for its turn. */
export interface Job {
  readonly op: OperationName;
  readonly args: unknown;
  readonly answer: (result: Result<unknown>) => void;
}

/** How long a provisioning key is kept past its end, in seconds, so that it is told from one that never was. */
const KEPT_KEY_SECONDS = 7 * 24 * 3600;

type HandlersOf<Name extends OperationName> = {
  readonly [K in Name]: (args: ArgsOf<K>) => Result<AnswerOf<K>>;
};

type Handlers = HandlersOf<OperationName>;

const READS: ReadonlySet<OperationName> = new Set([
  'snapshotStart',
  'snapshotNext',
  'changesAfter',
  'loadJournal',
  'loadSealedKeys',
  'loadKeptValues',
  'loadBundleAcks',
  'ledgerCopy',
  'ledgerCopyTile',
]);

/** Runs operations on the database: all writes that wait together are one transaction. */
export class Engine {
  readonly #db: Database;
  readonly #snapshots: SnapshotReader;
  readonly #keptChanges: number;
  readonly #wake: () => void;
  readonly #handlers: Handlers;
  readonly #mark: MarkKeeper | undefined;
  #lastSequence: number;
  #prunedAt: number;
  #broken: Failed | undefined;

  /** @param mark Told of each commit. */
  constructor(db: Database, start: WorkerStart, wake: () => void, mark?: MarkKeeper) {
    this.#db = db;
    this.#snapshots = new SnapshotReader(start.path);
    this.#keptChanges = start.keptChanges;
    this.#wake = wake;
    this.#mark = mark;
    this.#handlers = createHandlers(db, this.#snapshots);
    this.#lastSequence = lastSequence(db);
    this.#prunedAt = this.#lastSequence;
  }

  /** Runs what waits. Writes are answered after their commit, reads see them. */
  run(jobs: readonly Job[]): void {
    const writes = jobs.filter((job) => !READS.has(job.op));
    if (writes.length > 0) this.#write(writes);
    for (const job of jobs) if (READS.has(job.op)) job.answer(this.#attempt(job));
  }

  /** Closes both connections; the write-ahead log is folded into the database. */
  close(): void {
    this.#snapshots.end();
    this.#db.close();
  }

  #write(jobs: readonly Job[]): void {
    const results = this.#transaction(jobs);
    if (!results.ok && jobs.length > 1) {
      // One of them failed, or all did: alone, each gets the outcome that is its own.
      for (const job of jobs) this.#write([job]);
      return;
    }
    if (results.ok) {
      // The registry prunes every few minutes: a quiet server's mark is no older than that.
      const due = jobs.some(({ op }) => op === 'prune');
      this.#mark?.committed(markIn(this.#db).commits, due);
      this.#committed();
    }
    for (const [index, job] of jobs.entries()) {
      job.answer(results.ok ? (results.value[index] ?? ok(undefined)) : results);
    }
  }

  /** Refusals are answers, and leave the transaction alone; only what SQLite throws undoes it. */
  #transaction(jobs: readonly Job[]): Result<readonly Result<unknown>[]> {
    if (this.#broken !== undefined) return this.#broken;
    try {
      this.#db.run('BEGIN IMMEDIATE');
      const results = jobs.map((job) => this.#handle(job));
      countCommit(this.#db);
      this.#db.run('COMMIT');
      return ok(results);
    } catch (error) {
      this.#rollback();
      const failure = sqliteFailure(error, 'writing to the database');
      // After a failed fsync nobody knows what the kernel kept: only a new start finds out.
      if (isFsyncFailure(error)) this.#broken = failure;
      return failure;
    }
  }

  #rollback(): void {
    try {
      if (this.#db.inTransaction()) this.#db.run('ROLLBACK');
    } catch {
      // The error to tell is the first one; a transaction that cannot be ended fails the next too.
    }
  }

  #committed(): void {
    const last = lastSequence(this.#db);
    if (last === this.#lastSequence) return;
    this.#lastSequence = last;
    this.#wake();
    if (last - this.#prunedAt >= this.#keptChanges / 4) this.#prune(last);
  }

  #prune(last: number): void {
    try {
      pruneChanges(this.#db, this.#keptChanges);
      this.#prunedAt = last;
    } catch {
      // Old lines cost space only; the next commit tries again.
    }
  }

  #attempt(job: Job): Result<unknown> {
    try {
      return this.#handle(job);
    } catch (error) {
      return sqliteFailure(error, 'reading the database');
    }
  }

  #handle(job: Job): Result<unknown> {
    // The sender typed `args` by `op`; the compiler cannot follow that through one map of handlers.
    const handler = this.#handlers[job.op] as (args: unknown) => Result<unknown>;
    return handler(job.args);
  }
}

function createHandlers(db: Database, snapshots: SnapshotReader): Handlers {
  return {
    snapshotStart: () => snapshots.start(),
    snapshotNext: ({ limit }) => snapshots.next(limit),
    changesAfter: (args) => changesAfter(db, args),
    createEntries: (args) => ok(createEntries(db, args)),
    updateEntries: (args) => ok(updateEntries(db, args)),
    deleteEntries: (args) => ok(deleteEntries(db, args)),
    createJoinToken: (args) => ok(createJoinToken(db, args)),
    claimJoinToken: (args) => ok(claimJoinToken(db, args)),
    recordAttestation: (args) => recordAttestation(db, args),
    changeAgent: (args) => ok(changeAgent(db, args)),
    deleteAgent: (args) => ok(deleteAgent(db, args)),
    pruneAgents: (args) => ok(pruneAgents(db, args)),
    revoke: (args) => ok(revoke(db, args)),
    writeDpus: (args) => ok(writeDpus(db, args)),
    putIssuingCa: (args) => ok(putIssuingCa(db, args)),
    writeFederations: (args) => ok(writeFederations(db, args)),
    deleteFederations: (args) => ok(deleteFederations(db, args)),
    writeFederatedBundles: (args) => ok(writeFederatedBundles(db, args)),
    deleteFederatedBundles: (args) => ok(deleteFederatedBundles(db, args)),
    ...connectorHandlers(db),
    prune: ({ now }) => {
      deleteExpiredEntries(db, now);
      deleteExpiredTokens(db, now);
      deleteEndedRevocations(db, now - REVOCATION_GRACE_SECONDS);
      deleteEndedIssuingCas(db, now - REVOCATION_GRACE_SECONDS);
      deleteEndedProvisioningKeys(db, now - KEPT_KEY_SECONDS);
      return ok(undefined);
    },
    raiseManifestMarks: (args) => ok(raiseManifestMarks(db, args)),
    loadSealedKeys: () => loadSealedKeys(db),
    writeSealedKey: (args) => writeSealedKey(db, args),
    loadKeptValues: () => loadKeptValues(db),
    writeKeptValue: (args) => writeKeptValue(db, args),
    putLedgerCopy: (args) => ok(putLedgerCopy(db, args)),
    ledgerCopy: (args) => ok(ledgerCopy(db, args)),
    ledgerCopyTile: (args) => ok(ledgerCopyTile(db, args)),
    loadJournal: () => loadJournal(db),
    commitAuthorities: (args) => commitAuthorities(db, args),
    loadBundleAcks: () => ok(allBundleAcks(db)),
    recordBundleAcks: ({ acks }) => ok(recordBundleAcks(db, acks)),
  };
}

function connectorHandlers(db: Database): HandlersOf<keyof ConnectorOperations> {
  return {
    writeConnectorGroups: (args) => ok(writeConnectorGroups(db, args)),
    deleteConnectorGroups: (args) => ok(deleteConnectorGroups(db, args)),
    writeConnectorSegments: (args) => ok(writeConnectorSegments(db, args)),
    deleteConnectorSegments: (args) => ok(deleteConnectorSegments(db, args)),
    createProvisioningKey: (args) => ok(createProvisioningKey(db, args)),
    deleteProvisioningKeys: (args) => ok(deleteProvisioningKeys(db, args)),
    registerBoundKey: (args) => registerBoundKey(db, args),
    deleteBoundKeys: (args) => ok(deleteBoundKeys(db, args)),
    enrolConnector: (args) => enrolConnector(db, args),
    changeConnectors: (args) => changeConnectors(db, args),
    deleteConnectors: (args) => ok(deleteConnectors(db, args)),
  };
}
