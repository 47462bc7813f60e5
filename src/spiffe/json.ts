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
  return new Reader(text, limits.maxDepth ?? DEFAULT_MAX_DEPTH).document();
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

/** One pass over one text. Methods answer `undefined` once `#problem` is set. */
class Reader {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;
  #depth = 0;
  #problem: Failed | undefined;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  document(): Result<JsonValue> {
    const value = this.#value();
    if (value === undefined) return this.#problem ?? this.#syntax('is empty');
    this.#skipSpace();
    if (this.#at < this.#text.length) return this.#syntax('has something after its value');
    return ok(value);
  }

  #value(): JsonValue | undefined {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#nested(() => this.#object());
      case '[':
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return this.#number();
    }
  }

  #nested(read: () => JsonValue | undefined): JsonValue | undefined {
    if (this.#depth === this.#maxDepth) {
      return this.#refuse(
        fail('JSON_TOO_DEEP', `JSON document is nested deeper than ${this.#maxDepth} levels`),
      );
    }
    this.#depth++;
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): JsonObject | undefined {
    const members = new Map<string, JsonValue>();
    if (this.#take('}')) return members;
    do {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"')
        return this.#refuse(this.#syntax('has a key without quotes'));
      const key = this.#string();
      if (key === undefined) return undefined;
      if (members.has(key)) {
        return this.#refuse(
          fail('JSON_DUPLICATE_KEY', `JSON object has a key twice before character ${this.#at}`),
        );
      }
      if (!this.#take(':')) return this.#refuse(this.#syntax('has a key without a colon'));
      const value = this.#value();
      if (value === undefined) return undefined;
      members.set(key, value);
    } while (this.#take(','));
    return this.#take('}') ? members : this.#refuse(this.#syntax('has an object without an end'));
  }

  #array(): readonly JsonValue[] | undefined {
    const members: JsonValue[] = [];
    if (this.#take(']')) return members;
    do {
      const value = this.#value();
      if (value === undefined) return undefined;
      members.push(value);
    } while (this.#take(','));
    return this.#take(']') ? members : this.#refuse(this.#syntax('has an array without an end'));
  }

  #string(): string | undefined {
    let out = '';
    let from = ++this.#at;
    for (; this.#at < this.#text.length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) {
        out += this.#text.slice(from, this.#at++);
        if (out.isWellFormed()) return out;
        return this.#refuse(fail('JSON_ENCODING', 'JSON string has half of a surrogate pair'));
      }
      if (code < 0x20) return this.#refuse(this.#syntax('has a bare control character'));
      if (code !== 0x5c) continue;
      out += this.#text.slice(from, this.#at);
      const character = this.#escape();
      if (character === undefined) return this.#refuse(this.#syntax('has an unknown escape'));
      out += character;
      from = this.#at + 1;
    }
    return this.#refuse(this.#syntax('has a string without an end'));
  }

  /** Reads from the backslash; leaves the position at the last character of the escape. */
  #escape(): string | undefined {
    const letter = this.#text[++this.#at];
    if (letter !== 'u') return letter === undefined ? undefined : ESCAPES[letter];
    const digits = this.#text.slice(this.#at + 1, this.#at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) return undefined;
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #number(): number | bigint | undefined {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) return this.#refuse(this.#syntax('lacks a value'));
    const [text, fraction, exponent] = match;
    this.#at += text.length;
    const value = Number(text);
    if (text.length > MAX_NUMBER_CHARACTERS || !Number.isFinite(value)) {
      return this.#refuse(fail('JSON_NUMBER', 'JSON number is out of range'));
    }
    const exact = fraction !== undefined || exponent !== undefined || Number.isSafeInteger(value);
    return exact ? value : BigInt(text);
  }

  #literal<T extends boolean | null>(word: string, value: T): T | undefined {
    if (!this.#text.startsWith(word, this.#at)) return this.#refuse(this.#syntax('lacks a value'));
    this.#at += word.length;
    return value;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #syntax(what: string): Failed {
    return fail('JSON_SYNTAX', `JSON document ${what} at character ${this.#at}`);
  }

  #refuse(problem: Failed): undefined {
    this.#problem = problem;
    return undefined;
  }
}
