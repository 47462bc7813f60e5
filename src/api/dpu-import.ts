import { fail, ok, type Result } from '../base/result.ts';
import { type ImportedDpu, importDpu } from '../dpu/facts.ts';
import {
  type ImportDpusRequest,
  ImportDpusResponse,
  type ImportResult,
} from '../gen/signet/dpu/v1/dpu.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import type { DpuWrite } from '../store/store.ts';
import { checkBatch, fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct } from './context.ts';
import { fromWireFacts } from './convert/dpus.ts';

/** Most rows of one import. */
const MAX_ROWS = 1000;

/** A row that was understood, and what is to be written for it. */
interface PlannedRow {
  readonly imported: Result<ImportedDpu>;
  readonly revision: bigint;
  readonly serial: string;
}

/**
 * Takes an inventory in: all rows or none. What is as it was is not written, so that the same import
 * again changes nothing.
 */
export async function importDpus(
  api: ApiContext,
  request: ImportDpusRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const sized = checkBatch(request.dpus.length, MAX_ROWS, 'DPUs');
  if (!sized.ok) return sized;
  const rows = plan(api, request);
  const good = rows.every(({ imported }) => imported.ok);
  const writes = rows.flatMap(({ imported, revision }): DpuWrite[] =>
    imported.ok && imported.value.outcome !== 'unchanged'
      ? [{ dpu: imported.value.dpu, expectedRevision: revision }]
      : [],
  );
  if (good && !request.dryRun && writes.length > 0) {
    const written = await write(api, writes);
    if (!written.ok) return written;
    audit(api, context, { dpus: writes.length });
    for (const { dpu } of writes) {
      await noteAct(api, context, { act: 'import', dpu: dpu.serial });
    }
  }
  return fitAnswer(ImportDpusResponse, { results: rows.map(toWireResult) });
}

function plan({ registry, clock }: ApiContext, { dpus }: ImportDpusRequest): readonly PlannedRow[] {
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const seen = new Set<string>();
  const owners = new Map<string, string>();
  return dpus.map((facts) => {
    const serial = facts.serial.trim();
    const known = registry.dpus.get(serial);
    const revision = known?.revision ?? 0n;
    const imported = importDpu(fromWireFacts(facts), known, nowSeconds);
    if (seen.has(serial)) {
      return { serial, revision, imported: fail('DPU_INVALID', `${serial} stands in two rows`) };
    }
    seen.add(serial);
    const taken = imported.ok ? takenKey(registry, imported.value, owners) : undefined;
    return { serial, revision, imported: taken ?? imported };
  });
}

/** A device key belongs to one DPU, in the inventory and in the import. */
function takenKey(
  { dpus }: ApiContext['registry'],
  { dpu }: ImportedDpu,
  owners: Map<string, string>,
): Result<never> | undefined {
  for (const deviceId of dpu.deviceIds) {
    const pinned = dpus.ofDevice(deviceId).find(({ serial }) => serial !== dpu.serial);
    const owner = pinned?.serial ?? owners.get(deviceId);
    if (owner !== undefined && owner !== dpu.serial) {
      return fail('DPU_KEY_TAKEN', `device key ${deviceId} is pinned to DPU ${owner}`);
    }
    owners.set(deviceId, dpu.serial);
  }
  return undefined;
}

async function write({ registry }: ApiContext, writes: readonly DpuWrite[]): Promise<Result<void>> {
  const written = await registry.writeDpus(writes);
  if (!written.ok) return written;
  const conflicts = written.value.filter(({ outcome }) => outcome === 'conflict').length;
  if (conflicts === 0) return ok(undefined);
  return fail('STORE_CONFLICT', `${conflicts} of ${writes.length} DPUs changed meanwhile`);
}

function toWireResult({ serial, imported }: PlannedRow): ImportResult {
  if (!imported.ok) {
    const { code, message } = imported.error;
    return { serial, outcome: 'refused', changed: [], code, message };
  }
  const { outcome, changed } = imported.value;
  return { serial, outcome, changed: [...changed], code: '', message: '' };
}
