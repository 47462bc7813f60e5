import { fail, ok, type Result } from '../base/result.ts';
import type { CollectedDpu, DpuCollector } from '../dpu/collector-seam.ts';
import type { EvidenceVault } from '../dpu/evidence-vault.ts';
import type { DpuAct, DpuInventory } from '../dpu/inventory.ts';
import { parseReason, parseSerial, parseSha256 } from '../dpu/values.ts';
import {
  type CommissionDpuRequest,
  type Dpu,
  type DpuInventoryService,
  type GetDpuEvidenceRequest,
  GetDpuEvidenceResponse,
  type ListDpusRequest,
  ListDpusResponse,
  type ReasonedRequest,
} from '../gen/signet/dpu/v1/dpu.ts';
import type { Act } from '../ledger/record.ts';
import { operatorName } from '../policy/grants.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import { DPU_STATES, type DpuDraft, type DpuRecord } from '../rules/dpu.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, noteAct, operatorCaller } from './context.ts';
import { toWireDpu } from './convert/dpus.ts';
import { type AttestDpusParts, attestDpus } from './dpu-attest.ts';
import { importDpus } from './dpu-import.ts';

/** Longest window for another baseline, in seconds: a week. */
const MAX_WINDOW_SECONDS = 7 * 86_400;

/** What operators of a server are told of a quarantine that the store does not have yet. */
const LOCAL_HOLD_NOTE =
  'the database does not answer: the quarantine is in force on this server only, survives its restart and is written to the database when that answers again';

/** What the service needs besides the services' context. */
export interface DpuParts {
  readonly inventory: DpuInventory;
  readonly vault: Pick<EvidenceVault, 'get' | 'list'>;
  /** Undefined where this server is not set up to ask BMCs. */
  readonly collector: DpuCollector | undefined;
  /** Undefined as well. */
  readonly watch: AttestDpusParts['watch'];
}

/** `signet.dpu.v1.DpuInventory`: what operators see of DPUs, and do to them. */
export function createDpuService(api: ApiContext, parts: DpuParts): Handlers<DpuInventoryService> {
  return {
    importDpus: (request, context) => importDpus(api, request, context),
    listDpus: (request) => listDpus(api, request),
    getDpu(request) {
      const dpu = parts.inventory.find(request.serial.trim());
      return dpu.ok ? ok(toWireDpu(dpu.value, api.registry.trustDomain)) : dpu;
    },
    commissionDpu: (request, context) => commission(api, parts, request, context),
    baselineDpu: ({ windowSeconds, ...request }, context) =>
      act(api, request, context, 'baseline', (serial) => {
        if (windowSeconds > MAX_WINDOW_SECONDS) {
          return Promise.resolve(tooLong(windowSeconds));
        }
        const nowSeconds = Math.floor(api.clock.nowMs() / 1000);
        const baselineWindowEndsSeconds = windowSeconds === 0 ? 0 : nowSeconds + windowSeconds;
        return parts.inventory.change(serial, ({ revision: _revision, ...draft }) =>
          ok({ ...draft, baselineWindowEndsSeconds, updatedAtSeconds: nowSeconds }),
        );
      }),
    retireDpu: (request, context) =>
      act(api, request, context, 'retire', (serial, why) =>
        parts.inventory.move(serial, 'retire', why),
      ),
    quarantineDpu: (request, context) => quarantine(api, parts, request, context),
    releaseDpu: (request, context) =>
      act(api, request, context, 'release', (serial, why) =>
        parts.inventory.move(serial, 'release', why),
      ),
    confirmHost: ({ tpm, ...request }, context) =>
      act(api, request, context, 'confirm-host', (serial) =>
        parts.inventory.forgetHost(serial, { tpm }),
      ),
    attestDpus: (request, context) => attestDpus(api, parts, request, context),
    getDpuEvidence: (request) => evidence(parts, request),
  };
}

/** Runs an operator's act on a DPU and writes it down. */
async function act(
  api: ApiContext,
  { serial, reason }: ReasonedRequest,
  context: CallContext,
  name: Act,
  work: (
    serial: string,
    why: Required<Pick<DpuAct, 'reason' | 'by'>>,
  ) => Promise<Result<DpuRecord>>,
): Promise<Result<Dpu>> {
  const parsed = parseSerial(serial);
  if (!parsed.ok) return parsed;
  const why = parseReason(reason);
  if (!why.ok) return why;
  const caller = operatorCaller(context);
  if (!caller.ok) return caller;
  const done = await work(parsed.value, { reason: why.value, by: operatorName(caller.value) });
  // In force all the same; who did it is to be found.
  if (!done.ok && done.error.code !== 'BAN_NOT_KEPT') return done;
  audit(api, context, { act: name, dpu: parsed.value, reason: why.value, kept: done.ok });
  await noteAct(api, context, { act: name, dpu: parsed.value, reason: why.value });
  return done.ok ? ok(toWireDpu(done.value, api.registry.trustDomain)) : done;
}

async function quarantine(
  api: ApiContext,
  { inventory }: DpuParts,
  request: ReasonedRequest,
  context: CallContext,
): Promise<Result<Dpu>> {
  return act(api, request, context, 'quarantine', async (serial, why) => {
    const reach = await inventory.quarantine(serial, why);
    if (!reach.ok) return reach;
    if (reach.value === 'here') context.note(LOCAL_HOLD_NOTE);
    return inventory.find(serial);
  });
}

async function commission(
  api: ApiContext,
  { inventory, collector }: DpuParts,
  request: CommissionDpuRequest,
  context: CallContext,
): Promise<Result<Dpu>> {
  const named: string[] = [];
  for (const text of request.deviceIds) {
    const deviceId = parseSha256(text);
    if (!deviceId.ok) return deviceId;
    named.push(deviceId.value);
  }
  const secret = joinSecretOf(request);
  if (!secret.ok) return secret;
  return act(api, request, context, 'commission', async (serial, why) => {
    const found = inventory.find(serial);
    if (!found.ok) return found;
    const collected = request.fromBmc ? await collect(collector, found.value) : ok(undefined);
    if (!collected.ok) return collected;
    const pins = pinsOf(found.value, named, request, collected.value);
    if (!pins.ok) return pins;
    for (const deviceId of pins.value.deviceIds ?? []) {
      const taken = inventory.ofDevice(deviceId).find((dpu) => dpu.serial !== serial);
      if (taken !== undefined) {
        return fail('DPU_KEY_TAKEN', `device key ${deviceId} is pinned to DPU ${taken.serial}`);
      }
    }
    return inventory.move(serial, 'commission', why, (draft) =>
      ok({ ...draft, ...pins.value, ...secret.value }),
    );
  });
}

/** Nothing where what is awaited, if anything, stays. */
function joinSecretOf({
  joinSecretSha256,
}: CommissionDpuRequest): Result<Partial<Pick<DpuDraft, 'joinSecretHash'>>> {
  if (joinSecretSha256 === '') return ok({});
  const hash = parseSha256(joinSecretSha256);
  return hash.ok ? ok({ joinSecretHash: hash.value }) : hash;
}

function collect(
  collector: DpuCollector | undefined,
  dpu: DpuRecord,
): Promise<Result<CollectedDpu>> | Result<CollectedDpu> {
  if (collector !== undefined) return collector.collect(dpu);
  return fail('DPU_COLLECTOR_ABSENT', 'this server is not set up to ask BMCs');
}

/** What commissioning pins: what was collected, else what was named, else what is pinned already. */
function pinsOf(
  dpu: DpuRecord,
  named: readonly string[],
  { baseline: stated }: CommissionDpuRequest,
  collected: CollectedDpu | undefined,
): Result<Partial<DpuDraft>> {
  const found = collected?.deviceIds;
  const missing = named.find((deviceId) => found !== undefined && !found.includes(deviceId));
  if (missing !== undefined) return fail('DPU_INVALID', `the BMC shows no device key ${missing}`);
  const chosen = named.length > 0 ? named : (found ?? dpu.deviceIds);
  const deviceIds = [...new Set(chosen)];
  if (deviceIds.length === 0) {
    return fail('DPU_KEY_MISSING', `DPU ${dpu.serial}: no device key was given or collected`);
  }
  for (const { target, value } of stated) {
    if (target === '' || !/^([0-9a-f]{2}){1,128}$/i.test(value)) {
      return fail('DPU_INVALID', 'a baseline value needs a target and hexadecimal octets');
    }
  }
  const devicePins = collected?.devicePins?.filter(({ deviceId }) => deviceIds.includes(deviceId));
  const given = stated.map(({ value, ...rest }) => ({ ...rest, value: value.toLowerCase() }));
  const baseline = collected?.baseline ?? (given.length > 0 ? given : dpu.baseline);
  const learnt = { pairing: collected?.pairing ?? dpu.pairing, bmc: collected?.bmc ?? dpu.bmc };
  return ok({ deviceIds, devicePins, baseline, ...learnt });
}

function listDpus({ registry }: ApiContext, request: ListDpusRequest): Result<Encoded> {
  const states = request.states.map((name) => DPU_STATES.find((state) => state === name));
  const known = states.filter((state) => state !== undefined);
  if (known.length !== states.length) {
    return fail('FIELD_INVALID', `states: one of ${DPU_STATES.join(', ')} each`);
  }
  const { zone, rack, tenant, pageSize, pageToken } = request;
  const filter = { states: known.length === 0 ? undefined : known, zone, rack, tenant };
  const page = registry.dpus.list(filter, { pageSize, pageToken });
  if (!page.ok) return page;
  return fitAnswer(ListDpusResponse, {
    dpus: page.value.items.map((dpu) => toWireDpu(dpu, registry.trustDomain)),
    nextPageToken: page.value.nextPageToken,
  });
}

async function evidence(
  { inventory, vault }: DpuParts,
  request: GetDpuEvidenceRequest,
): Promise<Result<Encoded>> {
  const dpu = inventory.find(request.serial.trim());
  if (!dpu.ok) return dpu;
  const { serial, assessment } = dpu.value;
  const kept = await vault.list(serial);
  const id = request.id || assessment?.evidenceId || kept[0];
  if (id === undefined) return fail('DPU_EVIDENCE_ABSENT', `nothing is kept here of ${serial}`);
  const bytes = await vault.get(serial, id);
  if (!bytes.ok) return bytes;
  return fitAnswer(GetDpuEvidenceResponse, {
    id,
    evidence: Buffer.from(bytes.value),
    kept: [...kept],
  });
}

function tooLong(windowSeconds: number): Result<never> {
  const days = MAX_WINDOW_SECONDS / 86_400;
  const why = `a window of ${windowSeconds} s is longer than ${days} days`;
  return fail('DPU_INVALID', why);
}
