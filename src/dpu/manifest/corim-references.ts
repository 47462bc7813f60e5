import { toHex } from '../../base/bytes.ts';
import { refuse } from '../../der/refuse.ts';
import type { Fwid } from '../../dice/firmware-id.ts';
import { type CborMap, CborTagged, type CborValue, isCborList, isCborMap } from './cbor.ts';
import { DIGEST_BYTES, type ReferenceValue } from './reference-manifest.ts';

/** What a reference value is about; a field that is absent in the CoRIM is undefined. */
export interface CorimEnvironment {
  /** Tag and content as text, such as `111:2b0601` (OID) or `37:…` (UUID), in hex. */
  readonly classId: string | undefined;
  readonly vendor: string | undefined;
  readonly model: string | undefined;
  readonly layer: number | undefined;
  readonly index: number | undefined;
}

/** A reference value of one measurement in one environment. */
export interface CorimReference {
  readonly environment: CorimEnvironment;
  /** Which measurement; undefined where its key is no measurement index. */
  readonly index: number | undefined;
  /** Any one of them; none where what is said is of a kind that is not known here. */
  readonly values: readonly ReferenceValue[];
}

/** Keys of maps in draft-ietf-rats-corim-06, §5.1. */
const COMID_TRIPLES = 4;
const REFERENCE_TRIPLES = 0;
const ENVIRONMENT_CLASS = 0;
const CLASS_KEY = { id: 0, vendor: 1, model: 2, layer: 3, index: 4 } as const;
const MEASUREMENT_KEY = { key: 0, values: 1 } as const;
const VALUE_KEY = { version: 0, digests: 2, raw: 4, name: 11 } as const;

/** Fields beside the value itself that only describe it. */
const DESCRIBING: ReadonlySet<CborValue> = new Set([VALUE_KEY.version, VALUE_KEY.name]);

/** `bytes` under this tag are a raw value; others have a mask. */
const TAG_RAW = 560;

/** Most reference values of one CoMID. */
const MAX_REFERENCES = 4096;

/** Digest algorithms by their number or name in IANA's Named Information registry. */
const ALGORITHMS: ReadonlyMap<CborValue | undefined, Fwid['algorithm']> = new Map<
  CborValue | undefined,
  Fwid['algorithm']
>([
  [1, 'sha256'],
  ['sha-256', 'sha256'],
  [7, 'sha384'],
  ['sha-384', 'sha384'],
  [8, 'sha512'],
  ['sha-512', 'sha512'],
]);

/**
 * The reference values of a CoMID. Whatever could make a value mean something else (a mask, a security
 * version, an authority) leaves it without values, and a manifest that selects it is refused. Stops
 * with `refuse`: CORIM_MALFORMED.
 */
export function readReferences(comid: CborMap): readonly CorimReference[] {
  const triples = comid.get(COMID_TRIPLES);
  if (!isCborMap(triples)) malformed('its triples');
  const records = triples.get(REFERENCE_TRIPLES) ?? [];
  if (!isCborList(records)) malformed('its reference values');
  const references = records.flatMap(readTriple);
  if (references.length > MAX_REFERENCES) malformed('the number of its reference values');
  return references;
}

function readTriple(record: CborValue): readonly CorimReference[] {
  const [environment, measurements, ...rest] = isCborList(record) ? record : [];
  if (!isCborMap(environment) || !isCborList(measurements) || rest.length > 0) {
    malformed('a reference triple');
  }
  const about = readEnvironment(environment);
  return measurements.map((measurement) => {
    if (!isCborMap(measurement)) malformed('a measurement');
    return { environment: about, ...readMeasurement(measurement) };
  });
}

function readEnvironment(environment: CborMap): CorimEnvironment {
  const found = environment.get(ENVIRONMENT_CLASS) ?? new Map<CborValue, CborValue>();
  if (!isCborMap(found)) malformed('a class');
  return {
    classId: classIdOf(found.get(CLASS_KEY.id)),
    vendor: textOf(found.get(CLASS_KEY.vendor)),
    model: textOf(found.get(CLASS_KEY.model)),
    layer: numberOf(found.get(CLASS_KEY.layer)),
    index: numberOf(found.get(CLASS_KEY.index)),
  };
}

function readMeasurement(measurement: CborMap): Pick<CorimReference, 'index' | 'values'> {
  const key = measurement.get(MEASUREMENT_KEY.key);
  const values = measurement.get(MEASUREMENT_KEY.values);
  if (!isCborMap(values)) malformed('a measurement');
  const isPlain = [...measurement.keys()].every(
    (each) => each === MEASUREMENT_KEY.key || each === MEASUREMENT_KEY.values,
  );
  return {
    index: typeof key === 'number' && Number.isInteger(key) ? key : undefined,
    values: isPlain ? readValues(values) : [],
  };
}

/** One kind of value and what describes it; two kinds would have to hold both. */
function readValues(values: CborMap): readonly ReferenceValue[] {
  const telling = [...values.keys()].filter((key) => !DESCRIBING.has(key));
  if (telling.length !== 1) return [];
  if (telling[0] === VALUE_KEY.digests) return readDigests(values.get(VALUE_KEY.digests));
  const raw = values.get(VALUE_KEY.raw);
  const bytes = raw instanceof CborTagged && raw.tag === TAG_RAW ? raw.value : undefined;
  return bytes instanceof Uint8Array ? [{ algorithm: 'raw', bytes }] : [];
}

/** Digests of one thing by several algorithms: those that are not known here are left out. */
function readDigests(digests: CborValue | undefined): readonly ReferenceValue[] {
  if (!isCborList(digests) || digests.length === 0) malformed('digests');
  return digests.flatMap((entry): readonly ReferenceValue[] => {
    const [id, bytes, ...rest] = isCborList(entry) ? entry : [];
    if (!(bytes instanceof Uint8Array) || rest.length > 0) malformed('a digest');
    const algorithm = ALGORITHMS.get(id);
    if (algorithm === undefined) return [];
    if (bytes.length !== DIGEST_BYTES[algorithm]) malformed('the length of a digest');
    return [{ algorithm, bytes }];
  });
}

function classIdOf(id: CborValue | undefined): string | undefined {
  if (id === undefined) return undefined;
  if (!(id instanceof CborTagged) || !(id.value instanceof Uint8Array)) malformed('a class id');
  return `${id.tag}:${toHex(id.value)}`;
}

function textOf(value: CborValue | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  malformed('a text');
}

function numberOf(value: CborValue | undefined): number | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'number' && Number.isInteger(value) ? value : malformed('a number');
}

function malformed(what: string): never {
  refuse('CORIM_MALFORMED', `CoMID: ${what} cannot be read`);
}
