import { join } from 'node:path';
import { ok, type Result } from '../base/result.ts';
import { EvidenceVault } from '../dpu/evidence-vault.ts';
import { DpuInventory, type DpuNotice } from '../dpu/inventory.ts';
import { createExecHook } from '../dpu/isolation/exec-hook.ts';
import type { IsolationHook } from '../dpu/isolation/isolation.ts';
import { type IsolationOutcome, Isolator } from '../dpu/isolation/isolator.ts';
import { createWebhook } from '../dpu/isolation/webhook.ts';
import type { RecordAct } from '../issuance/ledger-recorder.ts';
import type { Act } from '../ledger/record.ts';
import type { KeptEvent } from '../registry/kept-writer.ts';
import type { HeldDpu } from '../registry/overlay.ts';
import type { Registry } from '../registry/registry.ts';
import { DPU_STATES } from '../rules/dpu.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import type { Logger } from '../runtime/log.ts';
import type { Store } from '../store/store.ts';
import type { ServerBase } from './server.ts';

/** Pause between two looks for BMCs that have been silent for too long, in milliseconds. */
const SWEEP_MS = 5_000;

/** Largest file of certificates that is read, in bytes. */
const MAX_CA_BYTES = 1024 * 1024;

/** The inventory of a running server, and what follows from it. */
export interface ServerDpus {
  readonly inventory: DpuInventory;
  readonly vault: EvidenceVault;
  /** Where the newest revision of each manifest is remembered. */
  readonly marks: Pick<Store, 'raiseManifestMarks'>;
}

/** What the inventory is started with. */
interface DpuParts {
  readonly registry: Registry;
  readonly directory: string;
  readonly store: ServerDpus['marks'];
  /** Undefined where the ledger is turned off. */
  readonly recordAct: RecordAct | undefined;
}

/** Starts the inventory: records, alarms, metrics, the isolation hook and the watch over silent BMCs. */
export async function startDpus(base: ServerBase, parts: DpuParts): Promise<Result<ServerDpus>> {
  const { config, clock, life, log, metrics } = base;
  const { registry, directory, recordAct } = parts;
  const inventory = new DpuInventory({
    registry,
    clock,
    unreachableGraceSeconds: config.dpu.unreachableGrace,
  });
  const vault = new EvidenceVault(join(directory, 'dpu-evidence'), config.dpu.keptEvidence);
  const hooks = await isolationHooks(base);
  if (!hooks.ok) return hooks;
  const failures = metrics.counter(
    'dpu_isolation_failures_total',
    'Orders that the isolation hook did not carry out.',
  );
  const isolator = new Isolator(hooks.value, (outcome) => {
    if (outcome.error !== undefined) failures.inc();
    logOutcome(log, outcome);
  });
  const alarms = metrics.counter('dpu_alarms_total', 'Verdicts on DPUs that look like an attack.');
  inventory.onNotice((notice) => {
    if (notice.alarm) alarms.inc();
    logNotice(log, notice);
    isolator.hear(notice);
    // Operators' acts are written down where they are taken in.
    if (notice.by === 'self') void recordOwn(log, recordAct, notice);
  });
  for (const state of DPU_STATES) {
    metrics.reading(`dpus_${state}`, `DPUs that are ${state}.`, () =>
      registry.dpus.count({ states: [state] }),
    );
  }
  life.add('isolation hook', () => isolator.close());
  life.add('DPU watch', watchSilent(base, inventory));
  return ok({ inventory, vault, marks: parts.store });
}

/** Says what becomes of a quarantine that the database did not take. */
export function logKeptHold(log: Logger, event: KeptEvent<HeldDpu>): void {
  if (event.kind === 'failed') {
    const { code, message: reason } = event.error;
    log.error({ code, reason, retryMs: event.retryMs }, 'quarantines are not in the database yet');
    return;
  }
  const dpu = event.item.serial;
  if (event.kind === 'written') log.info({ dpu }, 'quarantine is in the database now');
  else log.warn({ dpu }, 'quarantine dropped: the database has no such DPU');
}

function watchSilent({ clock, log }: ServerBase, inventory: DpuInventory): () => void {
  let cancel = clock.after(SWEEP_MS, sweep);
  let closed = false;
  function sweep(): void {
    void inventory.sweep().then((count) => {
      if (count > 0) log.warn({ count }, 'DPUs quarantined whose BMC is silent');
      if (!closed) cancel = clock.after(SWEEP_MS, sweep);
    });
  }
  return () => {
    closed = true;
    cancel();
  };
}

async function isolationHooks({
  config,
  clock,
}: ServerBase): Promise<Result<readonly IsolationHook[]>> {
  const { exec, webhook } = config.dpu.isolation;
  const hooks: IsolationHook[] = [];
  if (exec !== undefined) {
    const { path, args, timeout } = exec;
    hooks.push(createExecHook({ path, args, timeoutMs: timeout * 1000, clock }));
  }
  if (webhook !== undefined) {
    const { url, bearerPath, hmacKeyPath, caPath, timeout, attempts } = webhook;
    const ca = caPath === undefined ? ok(undefined) : await readFileIfPresent(caPath, MAX_CA_BYTES);
    if (!ca.ok) return ca;
    hooks.push(
      createWebhook({
        url: new URL(url),
        bearerPath,
        hmacKeyPath,
        ca: ca.value && Buffer.from(ca.value).toString('utf8'),
        timeoutMs: timeout * 1000,
        attempts,
        clock,
      }),
    );
  }
  return ok(hooks);
}

function logNotice(log: Logger, notice: DpuNotice): void {
  const { event, dpu, before, by, alarm, reach, decidedMs } = notice;
  const { serial, state, reason, rack, zone } = dpu;
  const decidedAt = decidedMs === undefined ? undefined : new Date(decidedMs).toISOString();
  const from = before.state;
  const facts = { dpu: serial, event, from, state, reason, by, rack, zone, reach, decidedAt };
  if (alarm) log.error({ ...facts, alarm }, 'DPU: a person has to look at this');
  else if (state === before.state) log.debug(facts, 'DPU');
  else log.warn(facts, 'DPU changed its state');
}

function logOutcome(log: Logger, { order, error }: IsolationOutcome): void {
  const facts = { dpu: order.serial, action: order.action };
  if (error === undefined) log.info(facts, 'isolation hook has done its work');
  else log.error({ ...facts, code: error.code, reason: error.message }, 'isolation hook failed');
}

const OWN_ACTS: Readonly<Partial<Record<DpuNotice['event'], Act>>> = {
  contradicted: 'quarantine',
  lost: 'quarantine',
};

/** What the server did by itself. It stands whether or not it can be written down. */
async function recordOwn(
  log: Logger,
  recordAct: RecordAct | undefined,
  { event, dpu }: DpuNotice,
): Promise<void> {
  const act = OWN_ACTS[event];
  if (act === undefined || recordAct === undefined) return;
  const reason = dpu.reason === '' ? {} : { reason: dpu.reason };
  const recorded = await recordAct({ act, dpu: dpu.serial, ...reason, requestedBy: 'self' });
  if (recorded.ok) return;
  const { code, message } = recorded.error;
  log.error({ act, dpu: dpu.serial, code, reason: message }, 'an act is not in the ledger');
}
