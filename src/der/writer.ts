import { TAG } from './tags.ts';
import { timeText } from './time.ts';

/** Octets that a length takes. */
function lengthOctets(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x100) return 2;
  if (length < 0x10000) return 3;
  return length < 0x1000000 ? 4 : 5;
}

/** Writes a length in its shortest form; answers the position after it. */
function writeLength(out: Uint8Array, at: number, length: number): number {
  const octets = lengthOctets(length) - 1;
  if (octets === 0) {
    out[at] = length;
    return at + 1;
  }
  out[at] = 0x80 | octets;
  for (let i = 0; i < octets; i++) out[at + 1 + i] = (length >>> (8 * (octets - 1 - i))) & 0xff;
  return at + 1 + octets;
}

/**
 * An element from its tag and contents, which are joined. It stands in memory that is shared with other
 * short-lived bytes (three times as fast): copy what is kept or sent to another thread.
 */
export function derElement(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of contents) length += part.length;
  const out = Buffer.allocUnsafe(1 + lengthOctets(length) + length);
  out[0] = tag;
  let at = writeLength(out, 1, length);
  for (const part of contents) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A SEQUENCE. */
export function derSequence(...contents: readonly Uint8Array[]): Uint8Array {
  return derElement(TAG.sequence, ...contents);
}

/** A SET OF: its elements are put in DER's order (X.690 §11.6). */
export function derSetOf(...elements: readonly Uint8Array[]): Uint8Array {
  return derElement(TAG.set, ...elements.toSorted(Buffer.compare));
}

/** An OCTET STRING. */
export function derOctetString(...contents: readonly Uint8Array[]): Uint8Array {
  return derElement(TAG.octetString, ...contents);
}

/** A BIT STRING. */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return derElement(TAG.bitString, Uint8Array.of(unusedBits), bytes);
}

/**
 * A named BIT STRING such as Key Usage: bit 0 is the first, and trailing zero bits are left out
 * (X.690 §11.2.2).
 */
export function derNamedBits(setBits: readonly number[]): Uint8Array {
  if (setBits.length === 0) return derBitString(new Uint8Array());
  const last = Math.max(...setBits);
  const bytes = new Uint8Array(Math.floor(last / 8) + 1);
  for (const bit of setBits) {
    const index = Math.floor(bit / 8);
    bytes[index] = (bytes[index] ?? 0) | (0x80 >>> (bit % 8));
  }
  return derBitString(bytes, 7 - (last % 8));
}

/** An INTEGER from a big-endian magnitude: not negative, in its shortest form. */
export function derUnsigned(magnitude: Uint8Array): Uint8Array {
  const firstSet = magnitude.findIndex((octet) => octet !== 0);
  if (firstSet === -1) return Uint8Array.of(TAG.integer, 1, 0);
  const trimmed = magnitude.subarray(firstSet);
  if ((trimmed[0] ?? 0) < 0x80) return derElement(TAG.integer, trimmed);
  return derElement(TAG.integer, Uint8Array.of(0), trimmed);
}

/** An INTEGER from a number from 0 to 2^32-1. */
export function derNumber(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new TypeError(`not a number from 0 to 4294967295: ${value}`);
  }
  return derUnsigned(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
}

/** A BOOLEAN. */
export function derBoolean(value: boolean): Uint8Array {
  return Uint8Array.of(TAG.boolean, 1, value ? 0xff : 0);
}

/** A NULL. */
export function derNull(): Uint8Array {
  return Uint8Array.of(TAG.null, 0);
}

/** Seven bits an octet, the last without the continuation bit (X.690 §8.19.2). */
function base128(value: number): number[] {
  const octets = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    octets.unshift(0x80 | (rest % 128));
  }
  return octets;
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function derOid(dotted: string): Uint8Array {
  const [first = Number.NaN, second = Number.NaN, ...rest] = dotted.split('.').map(Number);
  const arcs = [first * 40 + second, ...rest];
  if (!arcs.every((arc) => Number.isSafeInteger(arc) && arc >= 0)) {
    throw new TypeError(`not an object identifier: ${dotted}`);
  }
  return derElement(TAG.oid, Uint8Array.from(arcs.flatMap(base128)));
}

/** A UTF8String. */
export function derUtf8String(text: string): Uint8Array {
  return derElement(TAG.utf8String, Buffer.from(text, 'utf8'));
}

/** A string of ASCII characters under any tag, such as `[6] IMPLICIT IA5String`. */
export function derAscii(tag: number, text: string): Uint8Array {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length !== text.length) throw new TypeError('text is not ASCII');
  return derElement(tag, bytes);
}

/** Characters of a PrintableString (X.680 §41.4). */
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** A PrintableString where the text allows it, else a UTF8String: how names are written. */
export function derDirectoryString(text: string): Uint8Array {
  return PRINTABLE.test(text) ? derAscii(TAG.printableString, text) : derUtf8String(text);
}

/** A UTCTime up to 2049, a GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5); whole seconds. */
export function derTime(timeMs: number): Uint8Array {
  const { text, generalized } = timeText(timeMs);
  return derAscii(generalized ? TAG.generalizedTime : TAG.utcTime, text);
}
