import { fail, ok, type Result } from '../base/result.ts';
import type { DpuBmc, DpuDraft, DpuHostBmc, DpuRecord } from '../rules/dpu.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import {
  NO_HOST,
  newDpu,
  parseMac,
  parseName,
  parseSerial,
  parseSha256,
  parseUuid,
} from './values.ts';

/** What an import states about one DPU, as text; what is absent stays as it is, empty clears it. */
export interface StatedDpu {
  readonly serial: string;
  readonly model?: string | undefined;
  readonly opn?: string | undefined;
  readonly psid?: string | undefined;
  readonly bmcHost?: string | undefined;
  readonly bmcPort?: number | undefined;
  readonly bmcTlsPin?: string | undefined;
  readonly bmcUuid?: string | undefined;
  readonly bmcMac?: string | undefined;
  readonly hostSerial?: string | undefined;
  readonly hostUuid?: string | undefined;
  readonly pf0Mac?: string | undefined;
  readonly hostBmcHost?: string | undefined;
  readonly hostBmcPort?: number | undefined;
  readonly hostBmcTlsPin?: string | undefined;
  readonly zone?: string | undefined;
  readonly rack?: string | undefined;
  readonly tenant?: string | undefined;
  readonly agentIds?: readonly string[] | undefined;
  readonly deviceIds?: readonly string[] | undefined;
}

/** A DPU after an import. */
export interface ImportedDpu {
  readonly dpu: DpuDraft;
  readonly outcome: 'created' | 'updated' | 'unchanged';
  /** Names of what is another now. */
  readonly changed: readonly string[];
}

/** Port of Redfish over HTTPS. */
const BMC_PORT = 443;

/** Most agents, and most device keys, of one DPU. */
const MAX_LISTED = 64;

/** Facts whose change is noted by name. */
const COMPARED = [
  'model',
  'opn',
  'psid',
  'bmc',
  'host',
  'hostBmc',
  'zone',
  'rack',
  'tenant',
  'agentIds',
  'deviceIds',
] as const;

/**
 * Lays what is stated over what is known. Fails with DPU_INVALID for a value that is none, with DPU_STATE
 * where the DPU is retired or a pinned device key would become another: keys are pinned by commissioning.
 */
export function importDpu(
  stated: StatedDpu,
  known: DpuRecord | undefined,
  nowSeconds: number,
): Result<ImportedDpu> {
  const serial = parseSerial(stated.serial);
  if (!serial.ok) return serial;
  if (known?.state === 'retired') return fail('DPU_STATE', `DPU ${serial.value} is retired`);
  const empty = { model: '', opn: '', psid: '', bmc: undefined, host: NO_HOST };
  const none = { ...empty, zone: undefined, rack: '', tenant: '', agentIds: [] };
  const { revision: _revision, ...base } = known ?? {
    revision: 0n,
    ...newDpu(serial.value, none, nowSeconds),
  };
  const dpu = overlay(base, stated);
  if (!dpu.ok) return dpu;
  if (known === undefined) return ok({ dpu: dpu.value, outcome: 'created', changed: [] });
  const changed = COMPARED.filter((name) => text(known[name]) !== text(dpu.value[name]));
  if (changed.length === 0) return ok({ dpu: base, outcome: 'unchanged', changed });
  if (changed.includes('deviceIds') && known.deviceIds.length > 0) {
    return fail('DPU_STATE', `DPU ${serial.value} has device keys pinned: commission it anew`);
  }
  return ok({ dpu: { ...dpu.value, updatedAtSeconds: nowSeconds }, outcome: 'updated', changed });
}

function overlay(base: DpuDraft, stated: StatedDpu): Result<DpuDraft> {
  const problems: string[] = [];
  const read: ReadFact = (name, value, kept, parse) => {
    if (value === undefined) return kept;
    const parsed = parse(value);
    if (parsed.ok) return parsed.value;
    problems.push(`${name}: ${parsed.error.message}`);
    return kept;
  };
  const lists = <T>(
    name: string,
    values: readonly string[] | undefined,
    kept: readonly T[],
    parse: (value: string) => Result<T>,
  ): readonly T[] => {
    if (values === undefined) return kept;
    if (values.length > MAX_LISTED) problems.push(`${name}: more than ${MAX_LISTED}`);
    return values.slice(0, MAX_LISTED).flatMap((value) => {
      const parsed = parse(value);
      if (parsed.ok) return [parsed.value];
      problems.push(`${name}: ${parsed.error.message}`);
      return [];
    });
  };
  const dpu: DpuDraft = {
    ...base,
    model: read('model', stated.model, base.model, parseName),
    opn: read('opn', stated.opn, base.opn, parseName),
    psid: read('psid', stated.psid, base.psid, parsePsid),
    bmc: bmcOf(base.bmc, stated, read),
    host: {
      serial: read('host_serial', stated.hostSerial, base.host.serial, parseName),
      uuid: read('host_uuid', stated.hostUuid, base.host.uuid, parseUuid),
      pf0Mac: read('pf0_mac', stated.pf0Mac, base.host.pf0Mac, parseMac),
    },
    hostBmc: hostBmcOf(base.hostBmc, stated, read),
    zone: read('zone', stated.zone, base.zone, parseZone),
    rack: read('rack', stated.rack, base.rack, parseName),
    tenant: read('tenant', stated.tenant, base.tenant, parseName),
    agentIds: lists('agent_ids', stated.agentIds, base.agentIds, parseAgentId),
    deviceIds: lists('device_ids', stated.deviceIds, base.deviceIds, parseSha256),
  };
  if (problems.length > 0) return fail('DPU_INVALID', problems.join('; '));
  // What was found in the host before says nothing of another host: it is to be found anew.
  const stays = text(dpu.host) === text(base.host);
  return ok(stays ? dpu : { ...dpu, pairing: undefined });
}

type ReadFact = <T>(
  name: string,
  value: string | undefined,
  kept: T,
  parse: (value: string) => Result<T>,
) => T;

/** SHA-256 of a TLS key, with or without the `spki-` that pins have in front elsewhere. */
function parsePin(pin: string): Result<string | undefined> {
  return pin.trim() === ''
    ? ok(undefined)
    : parseSha256(pin.trim().replace(/^spki-(?=sha256:)/i, ''));
}

function hostBmcOf(
  base: DpuHostBmc | undefined,
  stated: StatedDpu,
  read: ReadFact,
): DpuHostBmc | undefined {
  const host = read('host_bmc_host', stated.hostBmcHost, base?.host ?? '', parseBmcHost);
  const port = stated.hostBmcPort ?? base?.port ?? BMC_PORT;
  const tlsPin = read('host_bmc_tls_pin', stated.hostBmcTlsPin, base?.tlsPin, parsePin);
  return host === '' ? undefined : { host, port, tlsPin };
}

function bmcOf(base: DpuBmc | undefined, stated: StatedDpu, read: ReadFact): DpuBmc | undefined {
  const host = read('bmc_host', stated.bmcHost, base?.host ?? '', parseBmcHost);
  const bmc = {
    host,
    port: stated.bmcPort ?? base?.port ?? BMC_PORT,
    tlsPin: read('bmc_tls_pin', stated.bmcTlsPin, base?.tlsPin, parsePin),
    uuid: read('bmc_uuid', stated.bmcUuid, base?.uuid ?? '', parseUuid),
    mac: read('bmc_mac', stated.bmcMac, base?.mac ?? '', parseMac),
  };
  return host === '' ? undefined : bmc;
}

function parseBmcHost(value: string): Result<string> {
  const host = value.trim();
  if (host === '' || /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(host)) return ok(host);
  if (/^[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,15})?$/.test(host)) return ok(host.toLowerCase());
  return fail('DPU_INVALID', `"${value.slice(0, 60)}" is no host name or address`);
}

function parsePsid(value: string): Result<string> {
  const psid = value.trim();
  if (psid === '' || /^[A-Za-z0-9_]{1,32}$/.test(psid)) return ok(psid);
  return fail('DPU_INVALID', `"${value.slice(0, 60)}" is no PSID`);
}

function parseZone(value: string): Result<number | undefined> {
  const zone = value.trim();
  if (zone === '') return ok(undefined);
  return /^[0-2]$/.test(zone)
    ? ok(Number(zone))
    : fail('DPU_INVALID', `"${zone.slice(0, 20)}" is not 0, 1 or 2`);
}

function parseAgentId(value: string): Result<SpiffeId> {
  const id = parseSpiffeId(value.trim());
  return id.ok ? id : fail('DPU_INVALID', `"${value.slice(0, 60)}" is no SPIFFE ID`);
}

/** SPIFFE IDs by their text: two that say the same are the same. */
function text(value: unknown): string {
  return (
    JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'object' && inner !== null && 'uri' in inner ? inner.uri : inner,
    ) ?? ''
  );
}
