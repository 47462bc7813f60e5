import { fail, type Result } from '../base/result.ts';
import { attempt, refuse } from '../der/refuse.ts';

/**
 * Walks over SPDM messages: little-endian fields, each taken once. What it answers are views of the
 * input. It stops with `refuse`, so it is only used inside `readSpdm` or `attempt`.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Position in the input, to cut out with `since`. */
  get position(): number {
    return this.#at;
  }

  /** What was read since a position. */
  since(position: number): Uint8Array {
    return this.#bytes.subarray(position, this.#at);
  }

  /** A byte ahead, or -1 beyond the end. */
  peek(offset = 0): number {
    return this.#bytes[this.#at + offset] ?? -1;
  }

  /** The next `length` bytes; `what` names them for the message of a refusal. */
  take(length: number, what: string): Uint8Array {
    if (length > this.left) {
      refuse('SPDM_TRUNCATED', `${what}: ${length} bytes expected, ${this.left} are left`);
    }
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** Passes over reserved bytes: written as zero, not looked at when read (DSP0274 "Reserved"). */
  skip(length: number, what: string): void {
    this.take(length, what);
  }

  u8(what: string): number {
    return this.#number(1, what);
  }

  u16(what: string): number {
    return this.#number(2, what);
  }

  u24(what: string): number {
    return this.#number(3, what);
  }

  u32(what: string): number {
    return this.#number(4, what);
  }

  /** Refuses what is left over. */
  finish(what: string): void {
    if (this.left > 0) refuse('SPDM_TRAILING_BYTES', `${what}: ${this.left} bytes follow its end`);
  }

  #number(length: number, what: string): number {
    return this.take(length, what).reduceRight((number, byte) => number * 256 + byte, 0);
  }
}

/**
 * Reads SPDM bytes from the first to the last. Errors: what `read` refuses, SPDM_TRAILING_BYTES,
 * SPDM_TOO_LARGE above `maxBytes`.
 */
export function readSpdm<T>(
  what: string,
  bytes: Uint8Array,
  maxBytes: number,
  read: (reader: ByteReader) => T,
): Result<T> {
  if (bytes.length > maxBytes) {
    return fail('SPDM_TOO_LARGE', `${what}: ${bytes.length} bytes, limit ${maxBytes}`);
  }
  return attempt(what, () => {
    const reader = new ByteReader(bytes);
    const value = read(reader);
    reader.finish(what);
    return value;
  });
}
