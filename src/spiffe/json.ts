import type { ErrorCode } from '../base/errors.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';

/** A JSON object: keys in the order of the text, none twice, no prototype to reach into. */
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** A JSON value. Integers beyond 2^53 are `bigint`, so that none is rounded. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | JsonObject;

/** Bounds of one document. */
export interface JsonLimits {
  readonly maxBytes: number;
  /** Nested arrays and objects; 32 when absent. */
  readonly maxDepth?: number;
}

const DEFAULT_MAX_DEPTH = 32;
/** Longest integer that is read, in characters: far beyond 64 bits, short enough to convert. */
const MAX_NUMBER_CHARACTERS = 64;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads one JSON document (RFC 8259), strictly: a key twice in an object is refused (`JSON.parse`
 * would take the last), as are invalid UTF-8, a byte order mark, lone surrogates, numbers outside
 * what can be held and anything after the value. Size and depth are bounded before work is done.
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): Result<JsonValue> {
  if (bytes.length > limits.maxBytes) {
    return fail('JSON_TOO_LARGE', `JSON document is longer than ${limits.maxBytes} bytes`);
  }
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    return fail('JSON_ENCODING', 'JSON document is not valid UTF-8');
  }
  const maxDepth = limits.maxDepth ?? DEFAULT_MAX_DEPTH;
  return readDocument({ text, maxDepth, at: 0, depth: 0, problem: undefined });
}

/** Like {@link parseJson}, for a document that must be an object. */
export function parseJsonObject(bytes: Uint8Array, limits: JsonLimits): Result<JsonObject> {
  const value = parseJson(bytes, limits);
  if (!value.ok) return value;
  if (isJsonObject(value.value)) return ok(value.value);
  return fail('JSON_SYNTAX', 'JSON document is not an object');
}

/** Whether the value is a JSON object. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}

/**
 * Objects without prototype in place of maps, and integers beyond 2^53 as the nearest number: the
 * form of `google.protobuf.Struct`.
 */
export function jsonToPlain(value: JsonValue): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (isJsonObject(value)) {
    const plain: Record<string, unknown> = Object.create(null);
    for (const [key, member] of value) plain[key] = jsonToPlain(member);
    return plain;
  }
  // Narrowing by Array.isArray does not reach readonly arrays; primitives are left.
  return Array.isArray(value) ? value.map((member: JsonValue) => jsonToPlain(member)) : value;
}

/** Where one reading stands. Readers answer `undefined` once `problem` is set. */
interface Cursor {
  readonly text: string;
  readonly maxDepth: number;
  at: number;
  depth: number;
  problem: Failed | undefined;
}

function readDocument(cursor: Cursor): Result<JsonValue> {
  const value = readValue(cursor);
  skipSpace(cursor);
  if (value !== undefined && cursor.at < cursor.text.length) {
    stop(cursor, 'has something after its value');
  }
  // Without a problem there is a value.
  return cursor.problem ?? ok(value ?? null);
}

function readValue(cursor: Cursor): JsonValue | undefined {
  skipSpace(cursor);
  switch (cursor.text[cursor.at]) {
    case '{':
      return readNested(cursor, () => readObject(cursor));
    case '[':
      return readNested(cursor, () => readArray(cursor));
    case '"':
      return readString(cursor);
    case 't':
      return readLiteral(cursor, 'true', true);
    case 'f':
      return readLiteral(cursor, 'false', false);
    case 'n':
      return readLiteral(cursor, 'null', null);
    default:
      return readNumber(cursor);
  }
}

function readNested(cursor: Cursor, read: () => JsonValue | undefined): JsonValue | undefined {
  if (cursor.depth === cursor.maxDepth) {
    return stop(cursor, `is nested deeper than ${cursor.maxDepth} levels`, 'JSON_TOO_DEEP');
  }
  cursor.depth++;
  cursor.at++;
  const value = read();
  cursor.depth--;
  return value;
}

function readObject(cursor: Cursor): JsonObject | undefined {
  const members = new Map<string, JsonValue>();
  if (take(cursor, '}')) return members;
  do {
    skipSpace(cursor);
    if (cursor.text[cursor.at] !== '"') return stop(cursor, 'has a key without quotes');
    const key = readString(cursor);
    if (key === undefined) return undefined;
    if (members.has(key)) {
      return stop(cursor, 'has a key twice in an object', 'JSON_DUPLICATE_KEY');
    }
    if (!take(cursor, ':')) return stop(cursor, 'has a key without a colon');
    const value = readValue(cursor);
    if (value === undefined) return undefined;
    members.set(key, value);
  } while (take(cursor, ','));
  return take(cursor, '}') ? members : stop(cursor, 'has an object without an end');
}

function readArray(cursor: Cursor): readonly JsonValue[] | undefined {
  const members: JsonValue[] = [];
  if (take(cursor, ']')) return members;
  do {
    const value = readValue(cursor);
    if (value === undefined) return undefined;
    members.push(value);
  } while (take(cursor, ','));
  return take(cursor, ']') ? members : stop(cursor, 'has an array without an end');
}

function readString(cursor: Cursor): string | undefined {
  let out = '';
  let from = ++cursor.at;
  for (; cursor.at < cursor.text.length; cursor.at++) {
    const code = cursor.text.charCodeAt(cursor.at);
    if (code === 0x22) {
      out += cursor.text.slice(from, cursor.at++);
      if (out.isWellFormed()) return out;
      return stop(cursor, 'has half of a surrogate pair', 'JSON_ENCODING');
    }
    if (code < 0x20) return stop(cursor, 'has a bare control character');
    if (code !== 0x5c) continue;
    out += cursor.text.slice(from, cursor.at);
    const character = readEscape(cursor);
    if (character === undefined) return stop(cursor, 'has an unknown escape');
    out += character;
    from = cursor.at + 1;
  }
  return stop(cursor, 'has a string without an end');
}

/** Reads from the backslash; leaves the position at the last character of the escape. */
function readEscape(cursor: Cursor): string | undefined {
  const letter = cursor.text[++cursor.at];
  if (letter !== 'u') return letter === undefined ? undefined : ESCAPES[letter];
  const digits = cursor.text.slice(cursor.at + 1, cursor.at + 5);
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) return undefined;
  cursor.at += 4;
  return String.fromCharCode(Number.parseInt(digits, 16));
}

function readNumber(cursor: Cursor): number | bigint | undefined {
  return readShortInteger(cursor) ?? readAnyNumber(cursor);
}

/** Times are most of the numbers that are read: up to fifteen digits, nothing else. */
function readShortInteger(cursor: Cursor): number | undefined {
  const { text, at: start } = cursor;
  let value = 0;
  let at = start;
  for (; at - start < 16; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
  }
  const digits = at - start;
  if (digits === 0 || digits === 16 || text[start] === '0') return undefined;
  if (text[at] === '.' || text[at] === 'e' || text[at] === 'E') return undefined;
  cursor.at = at;
  return value;
}

function readAnyNumber(cursor: Cursor): number | bigint | undefined {
  NUMBER.lastIndex = cursor.at;
  const match = NUMBER.exec(cursor.text);
  if (match === null) return stop(cursor, 'lacks a value');
  const [text, fraction, exponent] = match;
  cursor.at += text.length;
  const value = Number(text);
  if (text.length > MAX_NUMBER_CHARACTERS || !Number.isFinite(value)) {
    return stop(cursor, 'has a number out of range', 'JSON_NUMBER');
  }
  const exact = fraction !== undefined || exponent !== undefined || Number.isSafeInteger(value);
  return exact ? value : BigInt(text);
}

function readLiteral<T extends boolean | null>(
  cursor: Cursor,
  word: string,
  value: T,
): T | undefined {
  if (!cursor.text.startsWith(word, cursor.at)) return stop(cursor, 'lacks a value');
  cursor.at += word.length;
  return value;
}

function take(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at++;
  return true;
}

function skipSpace(cursor: Cursor): void {
  for (;;) {
    const code = cursor.text.charCodeAt(cursor.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    cursor.at++;
  }
}

/** Notes the refusal; its message says where. */
function stop(cursor: Cursor, what: string, code: ErrorCode = 'JSON_SYNTAX'): undefined {
  cursor.problem = fail(code, `JSON document ${what} at character ${cursor.at}`);
  return undefined;
}
