import { fail, ok, type Result } from '../base/result.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../spiffe/json.ts';
import type { StatedDpu } from './facts.ts';

const MAX_BYTES = 16 * 1024 * 1024;
const MAX_DEPTH = 32;
const MAX_DEVICES = 10_000;
const API_GROUP = /^provisioning\.dpu\.nvidia\.com\/v[0-9][a-z0-9]*$/;
const DPU_TYPES: ReadonlyMap<string, string> = new Map([
  ['BlueField2', 'bluefield-2'],
  ['BlueField3', 'bluefield-3'],
  ['BlueField4', 'bluefield-4'],
]);

/**
 * What `DPUDevice` objects of the DOCA Platform Framework state, as `kubectl get dpudevices -o json`
 * prints them: a list, or one object. What the operator wrote (`spec`) goes before what was discovered
 * (`status`). A device in NIC mode cannot attest and is refused, as is one without a serial number.
 * Fails with DPU_INVALID, which names the object.
 */
export function readDpfDevices(bytes: Uint8Array): Result<readonly StatedDpu[]> {
  const parsed = parseJsonObject(bytes, { maxBytes: MAX_BYTES, maxDepth: MAX_DEPTH });
  if (!parsed.ok) return fail('DPU_INVALID', parsed.error.message);
  const objects = objectsOf(parsed.value);
  if (objects === undefined || objects.length > MAX_DEVICES) {
    return fail('DPU_INVALID', `not a list of at most ${MAX_DEVICES} DPUDevice objects`);
  }
  const stated: StatedDpu[] = [];
  for (const [index, object] of objects.entries()) {
    const read = isJsonObject(object) ? readDevice(object) : undefined;
    if (read === undefined) return fail('DPU_INVALID', `item ${index} is no DPUDevice`);
    if (!read.ok) return read;
    stated.push(read.value);
  }
  return ok(stated);
}

function objectsOf(root: JsonObject): readonly JsonValue[] | undefined {
  const items = root.get('items');
  if (items === undefined) return [root];
  const kind = root.get('kind');
  // Narrowing by Array.isArray does not reach readonly arrays.
  const list: readonly JsonValue[] | undefined = Array.isArray(items) ? items : undefined;
  return kind === 'List' || kind === 'DPUDeviceList' ? list : undefined;
}

function readDevice(object: JsonObject): Result<StatedDpu> | undefined {
  const version = object.get('apiVersion');
  const known = typeof version === 'string' && API_GROUP.test(version);
  if (!known || object.get('kind') !== 'DPUDevice') return undefined;
  const spec = mapOf(object.get('spec'));
  const status = mapOf(object.get('status'));
  const name = textOf(mapOf(object.get('metadata')), 'name') ?? '(no name)';
  const either = (key: string): string | undefined => textOf(spec, key) ?? textOf(status, key);
  const serial = either('serialNumber');
  if (serial === undefined) return fail('DPU_INVALID', `${shown(name)}: no serial number`);
  const discovered = textOf(status, 'serialNumber') ?? serial;
  if (discovered.trim() !== serial.trim()) {
    return fail('DPU_INVALID', `${shown(name)}: another serial number was found than is stated`);
  }
  if (textOf(status, 'dpuMode') === 'nic') {
    return fail('DPU_INVALID', `${shown(name)}: a card in NIC mode cannot attest`);
  }
  const port = spec.get('bmcPort') ?? status.get('bmcPort');
  if (port !== undefined && !isPort(port)) {
    return fail('DPU_INVALID', `${shown(name)}: bmcPort is no port`);
  }
  return ok({
    serial,
    model: DPU_TYPES.get(textOf(status, 'dpuType') ?? ''),
    opn: either('opn'),
    psid: either('psid'),
    bmcHost: either('bmcIp'),
    bmcPort: port,
    pf0Mac: textOf(status, 'pf0Mac'),
  });
}

function isPort(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

function mapOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : new Map();
}

/** Text that says something; an empty one is as good as none. */
function textOf(object: JsonObject, key: string): string | undefined {
  const value = object.get(key);
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function shown(name: string): string {
  return /^[a-z0-9.-]{1,253}$/.test(name) ? name : '(no name)';
}
