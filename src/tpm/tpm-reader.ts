import { refuse } from '../der/refuse.ts';

/** Largest structure that is read, in bytes. */
export const MAX_TPM_BYTES = 4096;

/**
 * Takes the fields of a TPM's structure: big-endian numbers and sized buffers (TPM 2.0 Part 2, §4).
 * Every read is checked against what is left; stops with `refuse`.
 */
export class TpmReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    if (bytes.length > MAX_TPM_BYTES) refuse('TPM_STRUCTURE', `${what}: ${bytes.length} bytes`);
    // Copied, so that what was read cannot change.
    this.#bytes = Buffer.from(bytes);
    this.#what = what;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  u64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  /** So many bytes. */
  take(length: number): Buffer {
    if (length > this.left) refuse('TPM_STRUCTURE', `${this.#what}: ends too early`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A buffer with its size in front, of at most so many bytes. */
  sized(max: number): Buffer {
    const length = this.u16();
    if (length > max) refuse('TPM_STRUCTURE', `${this.#what}: a field of ${length} bytes`);
    return this.take(length);
  }

  /** All that is left. */
  rest(): Buffer {
    return this.take(this.left);
  }

  /** Nothing may be left. */
  finish(): void {
    if (this.left > 0) refuse('TPM_STRUCTURE', `${this.#what}: ${this.left} bytes too many`);
  }

  /** Stops with what is wrong. */
  refuse(problem: string): never {
    return refuse('TPM_STRUCTURE', `${this.#what}: ${problem}`);
  }
}
