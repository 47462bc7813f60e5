import { fail, ok, type Result } from '../base/result.ts';
import type { DpuFacts } from '../gen/signet/dpu/v1/dpu.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../spiffe/json.ts';
import { onlyStated } from './bmc-facts.ts';

const API_GROUP = /^provisioning\.dpu\.nvidia\.com\/v[0-9][a-z0-9]*$/;
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const DPU_TYPES: ReadonlyMap<string, string> = new Map([
  ['BlueField2', 'bluefield-2'],
  ['BlueField3', 'bluefield-3'],
  ['BlueField4', 'bluefield-4'],
]);

/**
 * What a `DPUDevice` object of the DOCA Platform Framework states of its card. What the operator wrote
 * (`spec`) goes before what was discovered (`status`). Fails with CLI_DATA_INVALID: a card in NIC mode
 * cannot attest, one without a serial number has no record, and one with two is somebody's mistake.
 */
export function readDpfDevice(object: JsonObject): Result<DpuFacts> {
  const version = object.get('apiVersion');
  const known = typeof version === 'string' && API_GROUP.test(version);
  if (!known || object.get('kind') !== 'DPUDevice') return refused('is no DPUDevice of DPF');
  const spec = partOf(object, 'spec');
  const status = partOf(object, 'status');
  if (spec === undefined || status === undefined) return refused('spec or status is no object');
  const wrong = TEXTS.find((key) => !isText(spec.get(key)) || !isText(status.get(key)));
  if (wrong !== undefined) return refused(`${wrong} is no text`);
  const either = (key: Text): string | undefined => textOf(spec, key) ?? textOf(status, key);
  const serial = either('serialNumber');
  if (serial === undefined) return refused('has no serial number');
  if ((textOf(status, 'serialNumber') ?? serial) !== serial) {
    return refused('another serial number was found than is stated');
  }
  if (textOf(status, 'dpuMode')?.toLowerCase() === 'nic') {
    return refused('a card in NIC mode cannot attest');
  }
  const port = portOf(spec.get('bmcPort') ?? status.get('bmcPort'));
  if (!port.ok) return port;
  const facts = {
    model: DPU_TYPES.get(textOf(status, 'dpuType') ?? ''),
    opn: either('opn'),
    psid: either('psid'),
    bmcHost: either('bmcIp'),
    bmcPort: port.value,
    pf0Mac: either('pf0Mac'),
  };
  return ok({ serial, ...onlyStated(facts) });
}

/** By what an object is told from others, `namespace/name`; undefined where it has no such name. */
export function nameOfObject(object: JsonObject): string | undefined {
  const metadata = partOf(object, 'metadata') ?? new Map();
  const names = [metadata.get('namespace'), metadata.get('name')].filter(
    (name) => typeof name === 'string' && OBJECT_NAME.test(name),
  );
  return names.length === 0 ? undefined : names.join('/');
}

const TEXTS = ['serialNumber', 'opn', 'psid', 'bmcIp', 'pf0Mac', 'dpuMode', 'dpuType'] as const;
type Text = (typeof TEXTS)[number];

/** Null is what YAML and Kubernetes make of a key without a value. */
function isText(value: JsonValue | undefined): boolean {
  return value === undefined || value === null || typeof value === 'string';
}

/** Text that says something, without the padding that BMCs have; an empty one is as good as none. */
function textOf(object: JsonObject, key: Text): string | undefined {
  const value = object.get(key);
  const text = typeof value === 'string' ? value.trim() : '';
  return text === '' ? undefined : text;
}

/** Digits in place of a number are what a YAML reader without types gives. */
function portOf(value: JsonValue | undefined): Result<number | undefined> {
  if (value === undefined || value === null || value === '') return ok(undefined);
  const text = typeof value === 'number' || typeof value === 'string' ? `${value}` : '';
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? ok(port) : refused('bmcPort is no port');
}

function partOf(object: JsonObject, key: string): JsonObject | undefined {
  const value = object.get(key);
  if (value === undefined || value === null || value === '') return new Map();
  return isJsonObject(value) ? value : undefined;
}

function refused(why: string): Result<never> {
  return fail('CLI_DATA_INVALID', why);
}
