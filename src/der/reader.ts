import type { Result } from '../base/result.ts';
import { attempt, refuse } from './refuse.ts';
import { TAG } from './tags.ts';
import { readTime } from './time.ts';

/** Longest encoding that is read unless the caller says otherwise. */
export const DEFAULT_MAX_DER_BYTES = 65_536;

/** Deepest nesting that is followed. */
export const MAX_DER_DEPTH = 16;

/** Longest OID in content octets; real ones stay below 20. */
const MAX_OID_BYTES = 64;

/** A BIT STRING. */
export interface BitString {
  readonly unusedBits: number;
  readonly bytes: Uint8Array;
}

/**
 * Walks over DER (X.690 §10, §11) without building a tree: each method takes the next element, which
 * must have the tag it names, and answers its value or a cursor over its contents. What it answers are
 * views of the input. It stops with `refuse`, so it is only used inside `readDer` or `attempt`.
 *
 * `what` names the element for the message of a refusal.
 */
export class DerCursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #depth: number;
  #at: number;
  /** Start of the contents of the element that was entered last. */
  #contentStart = 0;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length, depth = 0) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#depth = depth;
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** Identifier octet of the next element, or -1 at the end. */
  get nextTag(): number {
    return this.#at < this.#end ? this.#byte(this.#at) : -1;
  }

  /** Position in the input, to cut out with `since`. */
  get position(): number {
    return this.#at;
  }

  /** What was read since a position. */
  since(position: number): Uint8Array {
    return this.#bytes.subarray(position, this.#at);
  }

  /** Refuses what is left over. */
  finish(what: string): void {
    if (this.#at !== this.#end) refuse('DER_TRAILING_BYTES', `${what}: bytes follow its end`);
  }

  /** Enters a constructed element: a cursor over its contents. */
  enter(tag: number, what: string): DerCursor {
    if (this.#depth >= MAX_DER_DEPTH) {
      refuse('DER_TOO_DEEP', `${what}: nested deeper than ${MAX_DER_DEPTH} levels`);
    }
    const end = this.#open(tag, what);
    this.#at = end;
    return new DerCursor(this.#bytes, this.#contentStart, end, this.#depth + 1);
  }

  /** Enters a SEQUENCE. */
  sequence(what: string): DerCursor {
    return this.enter(TAG.sequence, what);
  }

  /** Contents of an element with a tag. */
  content(tag: number, what: string): Uint8Array {
    const end = this.#open(tag, what);
    this.#at = end;
    return this.#bytes.subarray(this.#contentStart, end);
  }

  /** A whole element with its tag and length; any tag unless one is named. Its contents are not read. */
  element(what: string, tag: number = this.nextTag): Uint8Array {
    const start = this.#at;
    this.#at = this.#open(tag, what);
    return this.#bytes.subarray(start, this.#at);
  }

  /** Passes over an element; any tag unless one is named. Its contents are not read. */
  skip(what: string, tag: number = this.nextTag): void {
    this.#at = this.#open(tag, what);
  }

  /** A BOOLEAN: 00 or FF (X.690 §11.1). */
  boolean(what: string): boolean {
    const end = this.#open(TAG.boolean, what);
    const value = this.#byte(this.#contentStart);
    if (end - this.#contentStart !== 1 || (value !== 0 && value !== 0xff)) {
      refuse('DER_VALUE', `${what}: BOOLEAN is neither 00 nor FF`);
    }
    this.#at = end;
    return value === 0xff;
  }

  /** Content octets of an INTEGER, two's complement, shortest form (X.690 §8.3.2). */
  integer(what: string, tag: number = TAG.integer): Uint8Array {
    const end = this.#open(tag, what);
    const start = this.#contentStart;
    if (end === start) refuse('DER_VALUE', `${what}: INTEGER without contents`);
    if (end - start > 1) {
      const first = this.#byte(start);
      const nextIsNegative = this.#byte(start + 1) >= 0x80;
      if ((first === 0 && !nextIsNegative) || (first === 0xff && nextIsNegative)) {
        refuse('DER_VALUE', `${what}: INTEGER not in its shortest form`);
      }
    }
    this.#at = end;
    return this.#bytes.subarray(start, end);
  }

  /** Content octets of an INTEGER above zero, without the leading zero octet. */
  positiveInteger(what: string, tag: number = TAG.integer): Uint8Array {
    const octets = this.integer(what, tag);
    const first = octets[0] ?? 0;
    if (first >= 0x80 || (octets.length === 1 && first === 0)) {
      refuse('DER_VALUE', `${what}: not above zero`);
    }
    return first === 0 ? octets.subarray(1) : octets;
  }

  /** An INTEGER between 0 and 2^31-1. */
  smallInteger(what: string, tag: number = TAG.integer): number {
    const octets = this.integer(what, tag);
    if (octets.length > 4 || (octets[0] ?? 0) >= 0x80) {
      refuse('DER_VALUE', `${what}: not a number from 0 to 2147483647`);
    }
    return octets.reduce((number, octet) => number * 256 + octet, 0);
  }

  /** A BIT STRING whose unused bits are zero (X.690 §11.2.1). */
  bitString(what: string): BitString {
    const end = this.#open(TAG.bitString, what);
    const start = this.#contentStart;
    if (end === start) refuse('DER_VALUE', `${what}: BIT STRING without contents`);
    const unusedBits = this.#byte(start);
    const lastOctet = end - start > 1 ? this.#byte(end - 1) : 0;
    const unusedMask = (1 << unusedBits) - 1;
    if (unusedBits > 7 || (unusedBits > 0 && end - start === 1) || (lastOctet & unusedMask) !== 0) {
      refuse('DER_VALUE', `${what}: BIT STRING with wrong unused bits`);
    }
    this.#at = end;
    return { unusedBits, bytes: this.#bytes.subarray(start + 1, end) };
  }

  /** A BIT STRING that holds whole octets, such as a key or a signature. */
  octetsInBitString(what: string): Uint8Array {
    const { unusedBits, bytes } = this.bitString(what);
    if (unusedBits !== 0) refuse('DER_VALUE', `${what}: BIT STRING does not end with an octet`);
    return bytes;
  }

  /** An OBJECT IDENTIFIER in dotted form; arcs in shortest form (X.690 §8.19.2) and below 2^53. */
  oid(what: string, tag: number = TAG.oid): string {
    const end = this.#open(tag, what);
    const text = dottedOid(this.#bytes, this.#contentStart, end);
    if (text === undefined) refuse('DER_VALUE', `${what}: malformed OBJECT IDENTIFIER`);
    this.#at = end;
    return text;
  }

  /** A NULL. */
  null(what: string): void {
    if (this.content(TAG.null, what).length !== 0) {
      refuse('DER_VALUE', `${what}: NULL with contents`);
    }
  }

  /** A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 restricts them, in Unix milliseconds. */
  time(what: string): number {
    const tag = this.nextTag;
    if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) {
      refuse('DER_TAG', `${what}: neither UTCTime nor GeneralizedTime`);
    }
    const end = this.#open(tag, what);
    const timeMs = readTime(this.#bytes, this.#contentStart, end);
    if (timeMs === undefined) {
      refuse('DER_TIME', `${what}: not a time in the form RFC 5280 demands`);
    }
    this.#at = end;
    return timeMs;
  }

  /** Checks tag and length of the next element; sets the start of its contents, answers their end. */
  #open(tag: number, what: string): number {
    const at = this.#at;
    if (at >= this.#end) refuse('DER_TRUNCATED', `${what}: missing`);
    // Tag numbers above 30 take more octets; nothing that is read here has one.
    if (this.#byte(at) !== tag || (tag & 0x1f) === 0x1f) {
      refuse('DER_TAG', `${what}: has tag 0x${this.#byte(at).toString(16).padStart(2, '0')}`);
    }
    if (at + 1 >= this.#end) refuse('DER_TRUNCATED', `${what}: ends inside its length`);
    const first = this.#byte(at + 1);
    this.#contentStart = at + 2;
    const length = first < 0x80 ? first : this.#longLength(first & 0x7f, what);
    const end = this.#contentStart + length;
    if (end > this.#end) refuse('DER_TRUNCATED', `${what}: ends after the bytes that hold it`);
    return end;
  }

  /** A length of more than 127: one to four octets, the shortest that do (X.690 §10.1). */
  #longLength(octets: number, what: string): number {
    if (octets === 0) refuse('DER_LENGTH', `${what}: indefinite length`);
    if (octets > 4) refuse('DER_LENGTH', `${what}: length of ${octets} octets`);
    if (this.#contentStart + octets > this.#end) {
      refuse('DER_TRUNCATED', `${what}: ends inside its length`);
    }
    let length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + this.#byte(this.#contentStart + i);
    if (length < 0x80 || length < 256 ** (octets - 1)) {
      refuse('DER_LENGTH', `${what}: length not in its shortest form`);
    }
    this.#contentStart += octets;
    return length;
  }

  #byte(index: number): number {
    return this.#bytes[index] ?? 0;
  }
}

/** Dotted form of the OID between two positions, or nothing where it is malformed. */
function dottedOid(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end === start || end - start > MAX_OID_BYTES) return undefined;
  let text = '';
  let arc = 0;
  let arcStart = start;
  for (let i = start; i < end; i++) {
    const octet = bytes[i] ?? 0;
    if (i === arcStart && octet === 0x80) return undefined;
    arc = arc * 128 + (octet & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) return undefined;
    if (octet >= 0x80) continue;
    text += arcStart === start ? firstArcs(arc) : `.${arc}`;
    arc = 0;
    arcStart = i + 1;
  }
  return arcStart === end ? text : undefined;
}

/** The first two arcs share one number (X.690 §8.19.4). */
function firstArcs(joined: number): string {
  const first = Math.min(Math.floor(joined / 40), 2);
  return `${first}.${joined - 40 * first}`;
}

/**
 * Reads one encoding from its first byte to its last.
 *
 * @param what Names the thing for messages, such as `certificate`.
 * @param read Takes the elements; stops with `refuse`.
 * @param maxBytes Longest input; DER_TOO_LARGE beyond it.
 */
export function readDer<T>(
  what: string,
  input: Uint8Array,
  read: (cursor: DerCursor) => T,
  maxBytes: number = DEFAULT_MAX_DER_BYTES,
): Result<T> {
  return attempt(what, () => {
    if (input.length > maxBytes) {
      refuse('DER_TOO_LARGE', `${what}: ${input.length} bytes, limit ${maxBytes}`);
    }
    const cursor = new DerCursor(input);
    const value = read(cursor);
    cursor.finish(what);
    return value;
  });
}
