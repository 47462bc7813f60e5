import { type DecodeOptions, decode, Tokenizer } from 'cborg';
import { fail, ok, type Result } from '../../base/result.ts';

/** A CBOR value (RFC 8949); integers beyond 2^53 are `bigint`. */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | CborMap
  | CborTagged;

/** A map; keys that are not numbers or texts stand for nothing here. */
export type CborMap = ReadonlyMap<CborValue, CborValue>;

/** A value under a tag. */
export class CborTagged {
  readonly tag: number;
  readonly value: CborValue;

  constructor(tag: number, value: CborValue) {
    this.tag = tag;
    this.value = value;
  }
}

/** Tags of CBOR, COSE, CoSWID and CoRIM; a document with another is refused. */
const KNOWN_TAGS: readonly number[] = [
  0, 1, 18, 32, 37, 111, 500, 501, 505, 506, 508, 550, 551, 552, 553, 554, 555, 556, 557, 558, 559,
  560, 561, 562, 563, 564, 565,
];

/** Deepest nesting; a reference value stands at 10. */
const MAX_DEPTH = 24;

const OPTIONS: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  tags: Object.fromEntries(
    KNOWN_TAGS.map((tag) => [
      tag,
      (read: () => unknown) => new CborTagged(tag, read() as CborValue),
    ]),
  ),
};

/**
 * Reads one CBOR document: shortest lengths, none indefinite, no key twice, known tags only, nesting
 * bounded before anything recurses. Errors: CORIM_MALFORMED.
 */
export function decodeCbor(what: string, bytes: Uint8Array, maxBytes: number): Result<CborValue> {
  if (bytes.length > maxBytes) {
    return fail('CORIM_MALFORMED', `${what}: ${bytes.length} bytes, limit ${maxBytes}`);
  }
  try {
    if (depthOf(bytes) > MAX_DEPTH) return fail('CORIM_MALFORMED', `${what}: nested too deep`);
    // The options leave nothing but what CborValue names.
    return ok(decode(bytes, OPTIONS) as CborValue);
  } catch (cause) {
    return fail('CORIM_MALFORMED', `${what}: not the CBOR that is expected`, { cause });
  }
}

/** Nesting of the first value, found without recursion; stops counting where it is too deep. */
function depthOf(bytes: Uint8Array): number {
  const tokens = new Tokenizer(bytes, OPTIONS);
  const open: number[] = [];
  let deepest = 0;
  do {
    const { type, value } = tokens.next();
    if (open.length > 0) open.push((open.pop() ?? 0) - 1);
    if (type.name === 'array') open.push(Number(value));
    if (type.name === 'map') open.push(Number(value) * 2);
    if (type.name === 'tag') open.push(1);
    deepest = Math.max(deepest, open.length);
    while (open.at(-1) === 0) open.pop();
  } while (open.length > 0 && deepest <= MAX_DEPTH && !tokens.done());
  return deepest;
}

/** Whether a value is a map. */
export function isCborMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map;
}

/** Whether a value is a list. */
export function isCborList(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value);
}
