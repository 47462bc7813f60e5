import { type Document, parseAllDocuments } from 'yaml';
import { fail, ok, type Result } from '../base/result.ts';
import type { DpuFacts } from '../gen/signet/dpu/v1/dpu.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../spiffe/json.ts';
import { parseCsv } from './csv.ts';
import { nameOfObject, readDpfDevice } from './dpf-device.ts';
import { MAX_DATA_BYTES } from './files.ts';

/** A DPU from a file, with the place that it stands in there. */
export interface DpuRow {
  /** Such as `line 7`, `dpus[3]` or the name of an object. */
  readonly place: string;
  readonly facts: DpuFacts;
}

type Setter = (facts: DpuFacts, value: string) => string | undefined;

type PortName = 'bmcPort' | 'hostBmcPort';

const port =
  (name: PortName): Setter =>
  (facts, value) => {
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) return 'is no port';
    facts[name] = Number(value);
    return undefined;
  };

const text =
  (name: Exclude<keyof DpuFacts, PortName | 'agentIds' | 'deviceIds'>): Setter =>
  (facts, value) => {
    facts[name] = value;
    return undefined;
  };

const list =
  (name: 'agentIds' | 'deviceIds'): Setter =>
  (facts, value) => {
    facts[name] = { values: value.split(/[\s;]+/).filter((item) => item !== '') };
    return undefined;
  };

/** Names of facts by their letters in lower case. */
const FIELDS: Readonly<Record<string, Setter>> = {
  serial: text('serial'),
  serialnumber: text('serial'),
  model: text('model'),
  opn: text('opn'),
  psid: text('psid'),
  bmchost: text('bmcHost'),
  bmcip: text('bmcHost'),
  bmcport: port('bmcPort'),
  bmctlspin: text('bmcTlsPin'),
  bmcuuid: text('bmcUuid'),
  bmcmac: text('bmcMac'),
  hostserial: text('hostSerial'),
  hostuuid: text('hostUuid'),
  pf0mac: text('pf0Mac'),
  hostbmchost: text('hostBmcHost'),
  hostbmcport: port('hostBmcPort'),
  hostbmctlspin: text('hostBmcTlsPin'),
  zone: text('zone'),
  rack: text('rack'),
  tenant: text('tenant'),
  agentids: list('agentIds'),
  deviceids: list('deviceIds'),
};

/**
 * Reads an inventory: CSV with a line of names, JSON (`[…]`, `{"dpus": […]}`), or `DPUDevice` objects of
 * DPF, one, a list or many documents, as JSON or YAML. Fails with CLI_DATA_INVALID, naming every row
 * that is faulty.
 */
export function parseDpus(bytes: Uint8Array): Result<readonly DpuRow[]> {
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail('CLI_DATA_INVALID', 'is not UTF-8 text');
  }
  const begin = source.trimStart();
  if (begin.startsWith('{') || begin.startsWith('[')) return fromJson(bytes);
  const [first = ''] = begin.split(/\r?\n/, 1);
  if (first.includes(':') || first.startsWith('---') || first.startsWith('#')) {
    return fromYaml(source);
  }
  return fromCsv(source);
}

function fromCsv(source: string): Result<readonly DpuRow[]> {
  const rows = parseCsv(source);
  if (!rows.ok) return rows;
  const [head, ...others] = rows.value;
  if (head === undefined) return fail('CLI_DATA_INVALID', 'is empty');
  const setters = head.cells.map((name) => fieldOf(keyOf(name)));
  const unknown = head.cells.find((_name, i) => setters[i] === undefined);
  if (unknown !== undefined) {
    return fail('CLI_DATA_INVALID', `line ${head.line}: unknown column "${unknown}"`);
  }
  return collect(
    others.map(({ line, cells }) => {
      const place = `line ${line}`;
      if (cells.length !== head.cells.length) {
        return { place, problem: `has ${cells.length} values for ${head.cells.length} columns` };
      }
      const facts: DpuFacts = { serial: '' };
      for (const [i, cell] of cells.entries()) {
        // An empty cell says nothing; JSON can say that something is empty.
        const problem = cell.trim() === '' ? undefined : setters[i]?.(facts, cell.trim());
        if (problem !== undefined) return { place, problem: `${head.cells[i]} ${problem}` };
      }
      return { place, facts };
    }),
  );
}

function fromJson(bytes: Uint8Array): Result<readonly DpuRow[]> {
  const value = parseJson(bytes, { maxBytes: MAX_DATA_BYTES });
  if (!value.ok) return fail('CLI_DATA_INVALID', value.error.message);
  const rows = rowsOf(value.value);
  return rows.ok ? collect(rows.value) : rows;
}

function fromYaml(source: string): Result<readonly DpuRow[]> {
  if (source.length > MAX_DATA_BYTES) return fail('CLI_DATA_INVALID', 'is too long');
  const documents = parseAllDocuments(source, { uniqueKeys: true, schema: 'failsafe' });
  const rows: Read[] = [];
  for (const [i, document] of [...documents].entries()) {
    const [error] = document.errors;
    if (error !== undefined) return fail('CLI_DATA_INVALID', error.message.split('\n', 1)[0] ?? '');
    const value = plain(document);
    if (!value.ok) return value;
    // Nothing between two lines of dashes, or after the last.
    if (value.value === null || value.value === '') continue;
    // Through JSON, so that both forms are judged by the same reader.
    const json = new TextEncoder().encode(JSON.stringify(value.value));
    const parsed = parseJson(json, { maxBytes: MAX_DATA_BYTES });
    const read = parsed.ok ? rowsOf(parsed.value) : parsed;
    if (!read.ok) return fail('CLI_DATA_INVALID', `document ${i + 1}: ${read.error.message}`);
    rows.push(...read.value);
  }
  return collect(rows);
}

/** A document without aliases: with them a short text may stand for a very long one. */
function plain(document: Document.Parsed): Result<unknown> {
  try {
    return ok(document.toJS({ maxAliasCount: 0 }));
  } catch (cause) {
    return fail('CLI_DATA_INVALID', 'has an alias', { cause });
  }
}

/** Kinds of Kubernetes lists that hold `DPUDevice` objects. */
const OBJECT_LISTS: readonly JsonValue[] = ['List', 'DPUDeviceList'];

function rowsOf(value: JsonValue): Result<readonly Read[]> {
  if (Array.isArray(value)) return ok(fromList(value, ''));
  if (!isJsonObject(value)) return fail('CLI_DATA_INVALID', 'is no object or list');
  const kind = value.get('kind');
  const name = kind === undefined ? 'dpus' : 'items';
  const items = value.get(name);
  if (items === undefined) return ok(fromList([value], ''));
  if (kind !== undefined && !OBJECT_LISTS.includes(kind)) {
    return fail('CLI_DATA_INVALID', `a ${shown(kind)} is no list of DPUDevice objects`);
  }
  if (!Array.isArray(items)) return fail('CLI_DATA_INVALID', `${name} is no list`);
  return ok(fromList(items, name, kind !== undefined));
}

function fromList(items: readonly JsonValue[], name: string, ofObjects = false): readonly Read[] {
  return items.map((item, i) => {
    const place = `${name}[${i}]`;
    if (!isJsonObject(item)) return { place, problem: 'is no object' };
    if (!ofObjects && !item.has('kind')) return { place, ...fromObject(item) };
    const device = readDpfDevice(item);
    const named = nameOfObject(item) ?? place;
    return device.ok
      ? { place: named, facts: device.value }
      : { place: named, problem: device.error.message };
  });
}

function fromObject(object: JsonObject): { facts: DpuFacts } | { problem: string } {
  const facts: DpuFacts = { serial: '' };
  for (const [key, value] of object) {
    const set = fieldOf(keyOf(key));
    if (set === undefined) return { problem: `unknown key "${key}"` };
    const given = textOf(value);
    const problem = given === undefined ? 'must be text' : set(facts, given);
    if (problem !== undefined) return { problem: `${key} ${problem}` };
  }
  return { facts };
}

function shown(kind: JsonValue): string {
  return typeof kind === 'string' && /^[A-Za-z]{1,63}$/.test(kind) ? kind : 'thing of no kind';
}

/** Text, a number, or a list of texts. */
function textOf(value: JsonValue): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return `${value}`;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) {
    return value.join(' ');
  }
  return undefined;
}

/** Own keys only, since the name comes from a file. */
function fieldOf(name: string): Setter | undefined {
  return Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
}

function keyOf(name: string): string {
  return name
    .trim()
    .replaceAll(/[_\s-]/g, '')
    .toLowerCase();
}

type Read =
  | { readonly place: string; readonly facts: DpuFacts }
  | { readonly place: string; readonly problem: string };

/** Most faults that are told at once. */
const MAX_TOLD = 20;

function collect(rows: readonly Read[]): Result<readonly DpuRow[]> {
  const good: DpuRow[] = [];
  const problems: string[] = [];
  for (const row of rows) {
    if ('problem' in row) problems.push(`${row.place}: ${row.problem}`);
    else if (row.facts.serial === '') problems.push(`${row.place}: has no serial number`);
    else good.push(row);
  }
  if (problems.length === 0) {
    return good.length > 0 ? ok(good) : fail('CLI_DATA_INVALID', 'holds no DPU');
  }
  const more = problems.length > MAX_TOLD ? [`and ${problems.length - MAX_TOLD} more`] : [];
  return fail('CLI_DATA_INVALID', [...problems.slice(0, MAX_TOLD), ...more].join('\n'));
}
