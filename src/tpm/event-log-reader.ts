import { refuse } from '../der/refuse.ts';

/**
 * Takes the fields of an event log, which are little-endian unlike those of the TPM itself. Every read is
 * checked against what is left; stops with `refuse`.
 */
export class EventLogReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#take(1).readUInt8();
  }

  u16(): number {
    return this.#take(2).readUInt16LE();
  }

  u32(): number {
    return this.#take(4).readUInt32LE();
  }

  /** So many bytes, as a view of the log. */
  take(length: number): Uint8Array {
    return this.#take(length);
  }

  /** Nothing may be left. */
  finish(): void {
    if (this.left > 0) refuse('TPM_EVENT_LOG', `event log: ${this.left} bytes too many`);
  }

  #take(length: number): Buffer {
    if (length > this.left) refuse('TPM_EVENT_LOG', 'event log: ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
