import { join } from 'node:path';
import { z } from 'zod';
import { type Audit, startAudit } from '../audit/audit.ts';
import { startTileCopy, type TileCopy } from '../audit/tile-copy.ts';
import { startWitnesses, type Witnesses } from '../audit/witnesses.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  createFindIssued,
  createFindIssuerName,
  type FindIssued,
  type FindIssuerName,
} from '../issuance/find-issued.ts';
import { createLedgerRecorder, type LedgerRecorder } from '../issuance/ledger-recorder.ts';
import { type Ed25519Key, makeEd25519File, readEd25519File } from '../keys/ed25519-file.ts';
import { recordRestore } from '../ledger/epoch.ts';
import { HEAD_FILE } from '../ledger/files.ts';
import { type Ledger, openLedger } from '../ledger/ledger.ts';
import { FileTree } from '../runtime/file-tree.ts';
import { durationSetting } from '../runtime/units.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { Store } from '../store/store.ts';
import { subjectOf } from './authorities.ts';
import { createLedgerPages, type LedgerPages } from './ledger-pages.ts';
import type { ServerBase } from './server.ts';

/** Name of the key of the ledger in the data directory. */
export const LEDGER_KEY_FILE = 'ledger-key';

/** Schema of the `ledger` section. */
export const ledgerSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Whether everything signed is recorded first, in dataDir/ledger.'),
    checkpointInterval: durationSetting({ min: '100ms', max: '1h' })
      .prefault('500ms')
      .describe('Longest time from a record to a signed checkpoint that covers it.'),
    retention: durationSetting({ min: '1h', max: '36500d' })
      .optional()
      .describe('How long bodies of records are kept; for ever unless set. The tree stays.'),
    copy: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe('Whether tiles and checkpoints are copied to the database.'),
        every: durationSetting({ min: '100ms', max: '1h' })
          .prefault('10s')
          .describe('Pause between two rounds of copying.'),
        maxLag: durationSetting({ min: '1m', max: '365d' })
          .prefault('24h')
          .describe('Lag of the copy after which no SVIDs are issued.'),
      })
      .prefault({}),
    witnesses: z
      .array(
        z.strictObject({
          url: z
            .string()
            .max(1024)
            .regex(/^https?:\/\/[^\s@?#]+$/, 'must be a URL such as https://witness.example.org')
            .describe('What /add-checkpoint follows.'),
          key: z.string().max(512).describe('Its verifier key, name+id+key.'),
        }),
      )
      .max(16)
      .prefault([])
      .describe('Witnesses (C2SP tlog-witness) that cosign checkpoints; trust them to stop it.'),
    witnessEvery: durationSetting({ min: '1s', max: '24h' })
      .prefault('30s')
      .describe('Pause between two checkpoints that witnesses are asked to cosign.'),
    publish: z
      .boolean()
      .default(false)
      .describe('Whether the telemetry port serves /ledger/checkpoint and /ledger/tile/.'),
  })
  .prefault({});

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

/**
 * Opens the ledger of the data directory; undefined where it is turned off. What must not be signed
 * on refuses the start.
 */
export async function startLedger(
  base: ServerBase,
  directory: string,
  store: Store,
): Promise<Result<ServerLedger | undefined>> {
  const { config, clock, random, log, life, health } = base;
  if (!config.ledger.enabled) return ok(undefined);
  const files = new FileTree(directory);
  life.add('ledger files', () => files.close());
  const key = await ledgerKey(files, join(directory, LEDGER_KEY_FILE));
  if (!key.ok) return key;
  let audit: Audit | undefined;
  const opened = await openLedger({
    files,
    signer: { ...key.value, algorithm: 'ed25519' },
    clock,
    random,
    originPrefix: `${config.trustDomain.name}/ledger`,
    retentionMs: config.ledger.retention === undefined ? undefined : config.ledger.retention * 1000,
    // Before the sinks' cursors are read, nobody knows what is still wanted.
    bodyHolds: () => audit?.holds,
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
  health.add('ledger', 'ready', () => ledger.fault?.message);
  watchLedger(base, ledger);
  const started = await startAudit(config.audit, { ...base, files, ledger });
  if (!started.ok) return started;
  audit = started.value;
  life.add('audit', started.value.close);
  const copy = await startCopy(base, { files, ledger, store });
  if (!copy.ok) return copy;
  const witnesses = await startCosigning(base, { files, ledger });
  if (!witnesses.ok) return witnesses;
  const mayIssue = (): Result<void> => {
    const agreed = witnesses.value.mayIssue();
    return agreed.ok ? (copy.value?.mayIssue() ?? agreed) : agreed;
  };
  const pages = config.ledger.publish ? createLedgerPages(files, ledger) : undefined;
  const findIssued = createFindIssued(files, ledger);
  const { trustDomain } = config;
  const findIssuerNames = (bundle: () => Bundle | undefined): FindIssuerName =>
    createFindIssuerName({ trustDomain, bundle, subject: subjectOf(base), files, ledger });
  return ok({
    recorder: createLedgerRecorder(ledger, clock, mayIssue),
    findIssued,
    findIssuerNames,
    pages,
    audit,
  });
}

/** With one SQLite beside the log, a copy has the same fate as the log: it is off unless asked for. */
async function startCopy(
  { config, clock, log, life, metrics }: ServerBase,
  parts: { readonly files: FileTree; readonly ledger: Ledger; readonly store: Store },
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
  parts: { readonly files: FileTree; readonly ledger: Ledger },
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

/** The key is made with the ledger, never after it: another key would pass for another log. */
async function ledgerKey(files: FileTree, path: string): Promise<Result<Ed25519Key>> {
  const found = await readEd25519File(path);
  if (!found.ok) return found;
  if (found.value !== undefined) return ok(found.value);
  const head = await files.size(HEAD_FILE);
  if (!head.ok) return head;
  if (head.value === undefined) return makeEd25519File(path);
  return fail('LEDGER_HEAD_MISSING', `there is a ledger, but ${path} with its key is gone`);
}

function watchLedger({ metrics }: ServerBase, ledger: Ledger): void {
  metrics.reading('ledger_records', 'Records in the ledger.', () => ledger.size);
  metrics.reading('ledger_unpublished_records', 'Records that no checkpoint covers yet.', () => {
    return ledger.size - ledger.checkpoint.size;
  });
}
