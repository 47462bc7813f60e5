import { type Audit, startAudit } from '../audit/audit.ts';
import { startTileCopy, type TileCopy } from '../audit/tile-copy.ts';
import { startWitnesses, type Witnesses } from '../audit/witnesses.ts';
import { ok, type Result } from '../base/result.ts';
import {
  createFindIssued,
  createFindIssuerName,
  type FindIssued,
  type FindIssuerName,
} from '../issuance/find-issued.ts';
import { createLedgerRecorder, type LedgerRecorder } from '../issuance/ledger-recorder.ts';
import { recordRestore } from '../ledger/epoch.ts';
import { type Ledger, type LedgerOptions, openLedger } from '../ledger/ledger.ts';
import { FileTree } from '../runtime/file-tree.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { Store } from '../store/store.ts';
import { subjectOf } from './authorities.ts';
import { type LedgerKeyParts, openLedgerKey } from './ledger-key.ts';
import { createLedgerPages, type LedgerPages } from './ledger-pages.ts';
import type { ServerBase } from './server.ts';

/** The ledger of a running server. */
export interface ServerLedger {
  readonly recorder: LedgerRecorder;
  readonly findIssued: FindIssued;
  /** @param bundle The trust bundle as it stands when a name is looked for. */
  findIssuerNames(bundle: () => Bundle | undefined): FindIssuerName;
  /** What the telemetry port shows of it, where configuration says so. */
  readonly pages: LedgerPages | undefined;
  /** The sinks that follow it. */
  readonly audit: Audit;
}

/** What the ledger of a server stands on. */
export interface LedgerParts extends Pick<LedgerKeyParts, 'directory' | 'wrapper'> {
  readonly store: Store;
}

/** An open ledger, and the files that it stands in. */
interface OpenLedger {
  readonly files: FileTree;
  readonly ledger: Ledger;
}

/**
 * Opens the ledger of the data directory; undefined where it is turned off. What must not be signed
 * on refuses the start.
 */
export async function startLedger(
  base: ServerBase,
  parts: LedgerParts,
): Promise<Result<ServerLedger | undefined>> {
  const { config, clock } = base;
  if (!config.ledger.enabled) return ok(undefined);
  let audit: Audit | undefined;
  // Before the sinks' cursors are read, nobody knows what is still wanted.
  const opened = await open(base, parts, () => audit?.holds);
  if (!opened.ok) return opened;
  const { files, ledger } = opened.value;
  const started = await startAudit(config.audit, { ...base, files, ledger });
  if (!started.ok) return started;
  audit = started.value;
  base.life.add('audit', started.value.close);
  const mayIssue = await startCopies(base, { files, ledger, store: parts.store });
  if (!mayIssue.ok) return mayIssue;
  const { trustDomain } = config;
  const subject = subjectOf(base);
  return ok({
    recorder: createLedgerRecorder(ledger, clock, mayIssue.value),
    findIssued: createFindIssued(files, ledger),
    findIssuerNames: (bundle) =>
      createFindIssuerName({ trustDomain, bundle, subject, files, ledger }),
    pages: config.ledger.publish ? createLedgerPages(files, ledger) : undefined,
    audit,
  });
}

/** Opens the log with its key, and begins it anew after a restore. */
async function open(
  base: ServerBase,
  { directory, wrapper }: LedgerParts,
  bodyHolds: LedgerOptions['bodyHolds'],
): Promise<Result<OpenLedger>> {
  const { config, clock, random, log, life } = base;
  const files = new FileTree(directory);
  life.add('ledger files', () => files.close());
  const key = await openLedgerKey(base, { directory, files, wrapper });
  if (!key.ok) return key;
  const opened = await openLedger({
    files,
    signer: { ...key.value, algorithm: 'ed25519' },
    clock,
    random,
    originPrefix: `${config.trustDomain.name}/ledger`,
    retentionMs: config.ledger.retention === undefined ? undefined : config.ledger.retention * 1000,
    bodyHolds,
    checkpointIntervalMs: config.ledger.checkpointInterval * 1000,
    onFault: ({ code, message, action }) => log.error({ code, reason: message, action }, 'ledger'),
  });
  if (!opened.ok) return opened;
  const ledger = opened.value;
  life.add('ledger', () => ledger.close());
  const begun = await recordRestore(ledger, files, clock);
  if (!begun.ok) return begun;
  const { origin, size } = ledger.checkpoint;
  log.info({ origin, size }, 'ledger is open');
  watchLedger(base, ledger);
  return ok({ files, ledger });
}

/** What keeps the ledger outside this disk; answers whether SVIDs may be issued as that stands. */
async function startCopies(
  base: ServerBase,
  parts: OpenLedger & { readonly store: Store },
): Promise<Result<() => Result<void>>> {
  const copy = await startCopy(base, parts);
  if (!copy.ok) return copy;
  const witnesses = await startCosigning(base, parts);
  if (!witnesses.ok) return witnesses;
  return ok(() => {
    const agreed = witnesses.value.mayIssue();
    return agreed.ok ? (copy.value?.mayIssue() ?? agreed) : agreed;
  });
}

/** With one SQLite beside the log, a copy has the same fate as the log: it is off unless asked for. */
async function startCopy(
  { config, clock, log, life, metrics }: ServerBase,
  parts: OpenLedger & { readonly store: Store },
): Promise<Result<TileCopy | undefined>> {
  const { enabled, every, maxLag } = config.ledger.copy;
  if (!enabled) return ok(undefined);
  const bounds = { everyMs: every * 1000, maxLagMs: maxLag * 1000 };
  const started = await startTileCopy({ ...parts, ...bounds, clock, log });
  if (!started.ok) return started;
  const copy = started.value;
  life.add('ledger copy', () => copy.close());
  metrics.reading('ledger_copy_lag_records', 'Covered records that the database lacks.', () => {
    return copy.lagRecords;
  });
  metrics.reading('ledger_copy_lag_seconds', 'How long ago the oldest of them was written.', () => {
    return copy.lagMs / 1000;
  });
  return started;
}

/** Longest wait for a witness: a start waits for it once. */
const WITNESS_TIMEOUT_MS = 5000;

async function startCosigning(
  { config, clock, log, life, metrics }: ServerBase,
  parts: OpenLedger,
): Promise<Result<Witnesses>> {
  const { witnesses: places, witnessEvery } = config.ledger;
  const bounds = { everyMs: witnessEvery * 1000, timeoutMs: WITNESS_TIMEOUT_MS };
  const started = await startWitnesses({ ...parts, ...bounds, places, clock, log });
  if (!started.ok) return started;
  const witnesses = started.value;
  life.add('witnesses', () => witnesses.close());
  metrics.kept(
    'gauge',
    'ledger_witness_lag_records',
    'Covered records that a witness has not cosigned.',
    ['witness'],
    () => witnesses.lags.map(({ name, records }) => [{ witness: name }, records] as const),
  );
  return started;
}

function watchLedger({ metrics, health }: ServerBase, ledger: Ledger): void {
  health.add('ledger', 'ready', () => ledger.fault?.message);
  metrics.reading('ledger_records', 'Records in the ledger.', () => ledger.size);
  metrics.reading('ledger_unpublished_records', 'Records that no checkpoint covers yet.', () => {
    return ledger.size - ledger.checkpoint.size;
  });
}
