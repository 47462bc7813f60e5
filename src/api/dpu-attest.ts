import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { DpuInventory } from '../dpu/inventory.ts';
import { parseReason, parseSerial } from '../dpu/values.ts';
import type { DpuWatch } from '../dpu/watch/watch.ts';
import { type AttestDpusRequest, AttestDpusResponse } from '../gen/signet/dpu/v1/dpu.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import type { DpuRecord } from '../rules/dpu.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct } from './context.ts';
import { toWireDpu } from './convert/dpus.ts';

/** What has DPUs attest again. */
export interface AttestDpusParts {
  readonly inventory: Pick<DpuInventory, 'find' | 'demand'>;
  /** Undefined where this server is not set up to judge DPUs. */
  readonly watch: Pick<DpuWatch, 'ask' | 'lookNow'> | undefined;
}

/**
 * Has agents attest in full, one at once and many spread over time, or looks at one DPU. Who was asked is
 * written down before anybody is. Fails with DPU_INVALID, DPU_NOT_FOUND, DPU_COLLECTOR_ABSENT, or as
 * `demand` does; a look that fails is an answer.
 */
export async function attestDpus(
  api: ApiContext,
  { inventory, watch }: AttestDpusParts,
  request: AttestDpusRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const reason = parseReason(request.reason);
  if (!reason.ok) return reason;
  if (watch === undefined) {
    return fail('DPU_COLLECTOR_ABSENT', 'this server is not set up to judge DPUs');
  }
  const chosen = choose(api, inventory, request);
  if (!chosen.ok) return chosen;
  const note = async (serial: string): Promise<void> => {
    audit(api, context, { act: 'attest', dpu: serial, reason: reason.value, now: request.now });
    await noteAct(api, context, { act: 'attest', dpu: serial, reason: reason.value });
  };
  const [one] = chosen.value;
  if (request.now && one !== undefined) {
    await note(one.serial);
    return lookAt(api, inventory, watch, one.serial);
  }
  for (const { serial } of chosen.value) await note(serial);
  const serials = chosen.value.map(({ serial }) => serial);
  if (request.serial === '') {
    watch.ask(serials, reason.value);
  } else if (one !== undefined) {
    const demanded = await inventory.demand(one.serial, reason.value);
    if (!demanded.ok) return demanded;
  }
  const results = serials.map((serial) => ({ serial, outcome: 'asked', code: '', message: '' }));
  return fitAnswer(AttestDpusResponse, { results, dpu: undefined });
}

/** The DPU that is named, else those of the filter that may attest at all. */
function choose(
  { registry }: ApiContext,
  inventory: AttestDpusParts['inventory'],
  { serial, zone, rack, tenant, now }: AttestDpusRequest,
): Result<readonly DpuRecord[]> {
  if (serial !== '') {
    const parsed = parseSerial(serial);
    if (!parsed.ok) return parsed;
    const found = inventory.find(parsed.value);
    return found.ok ? ok([found.value]) : found;
  }
  if (now) return fail('DPU_INVALID', 'a look at once is at one DPU, by its serial number');
  const states = ['commissioned', 'trusted', 'degraded'] as const;
  const page = registry.dpus.list({ states, zone, rack, tenant }, { pageSize: 0, pageToken: '' });
  return page.ok ? ok(page.value.items.filter(({ deviceIds }) => deviceIds.length > 0)) : page;
}

async function lookAt(
  { registry }: ApiContext,
  inventory: AttestDpusParts['inventory'],
  watch: Pick<DpuWatch, 'lookNow'>,
  serial: string,
): Promise<Result<Encoded>> {
  const looked = await watch.lookNow(serial);
  const after = inventory.find(serial);
  if (!after.ok) return after;
  const result = looked.ok
    ? { serial, outcome: looked.value.compared, code: '', message: '' }
    : failed(serial, looked.error);
  return fitAnswer(AttestDpusResponse, {
    results: [result],
    dpu: toWireDpu(after.value, registry.trustDomain),
  });
}

function failed(serial: string, { code, message }: SignetError) {
  return { serial, outcome: 'failed', code, message };
}
