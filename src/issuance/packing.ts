import { ERRORS, type ErrorCode, SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { LeafOrder } from './leaf.ts';

/**
 * One message to a signing thread and one back, each a single buffer that changes hands without a
 * copy. Integers are little-endian; every field has its length before it.
 */

const SERIAL_BYTES = 16;
/** Kind, serial and two times; then three lengths. */
const FIXED_BYTES = 1 + SERIAL_BYTES + 2 * 8;

/** A batch of orders as one buffer. */
export function packOrders(orders: readonly LeafOrder[]): ArrayBuffer {
  const buffer = new ArrayBuffer(orders.reduce((sum, order) => sum + packedLength(order), 0));
  const writer = new Writer(buffer);
  for (const order of orders) {
    writer.byte(order.source.kind === 'csr' ? 1 : 0);
    writer.raw(order.serial);
    writer.number(order.notBeforeSeconds);
    writer.number(order.notAfterSeconds);
    writer.bytes(order.source.der);
    writer.ascii(order.id.uri);
    writer.length(order.dnsNames.length);
    for (const name of order.dnsNames) writer.ascii(name);
  }
  return buffer;
}

function packedLength(order: LeafOrder): number {
  let length = FIXED_BYTES + 4 + order.source.der.length + 4 + order.id.uri.length + 4;
  // SPIFFE IDs and DNS names are ASCII: their parsers saw to that.
  for (const name of order.dnsNames) length += 4 + name.length;
  return length;
}

/** The orders of a buffer; those of the other thread, so anything malformed is a fault of ours. */
export function unpackOrders(buffer: ArrayBuffer): LeafOrder[] {
  const reader = new Reader(buffer);
  const orders: LeafOrder[] = [];
  while (!reader.done) {
    const kind = reader.byte() === 1 ? 'csr' : 'spki';
    const serial = reader.raw(SERIAL_BYTES);
    const notBeforeSeconds = reader.number();
    const notAfterSeconds = reader.number();
    const der = reader.bytes();
    const id = parseSpiffeId(reader.ascii());
    if (!id.ok) throw id.error;
    const dnsNames: string[] = [];
    for (let count = reader.length(); count > 0; count--) dnsNames.push(reader.ascii());
    orders.push({
      source: { kind, der },
      id: id.value,
      dnsNames,
      serial,
      notBeforeSeconds,
      notAfterSeconds,
    });
  }
  return orders;
}

/** Outcomes, each bytes or a refusal, as one buffer. Of a refusal only code and message travel. */
export function packOutcomes(outcomes: readonly Result<Uint8Array>[]): ArrayBuffer {
  const parts = outcomes.map((outcome) => (outcome.ok ? outcome.value : encodeRefusal(outcome)));
  const buffer = new ArrayBuffer(parts.reduce((sum, part) => sum + 5 + part.length, 0));
  const writer = new Writer(buffer);
  outcomes.forEach((outcome, index) => {
    writer.byte(outcome.ok ? 1 : 0);
    writer.bytes(parts[index] ?? new Uint8Array());
  });
  return buffer;
}

/** The outcomes of a buffer; byte strings are views of it. */
export function unpackOutcomes(buffer: ArrayBuffer): Result<Uint8Array>[] {
  const reader = new Reader(buffer);
  const outcomes: Result<Uint8Array>[] = [];
  while (!reader.done) {
    const succeeded = reader.byte() === 1;
    const bytes = reader.bytes();
    outcomes.push(succeeded ? ok(bytes) : { ok: false, error: decodeRefusal(bytes) });
  }
  return outcomes;
}

function encodeRefusal(refusal: { readonly error: SignetError }): Uint8Array {
  return Buffer.from(`${refusal.error.code}\n${refusal.error.message}`, 'utf8');
}

function decodeRefusal(bytes: Uint8Array): SignetError {
  const text = Buffer.from(bytes).toString('utf8');
  const end = text.indexOf('\n');
  const code = text.slice(0, end);
  return new SignetError(isErrorCode(code) ? code : 'INTERNAL', text.slice(end + 1));
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

class Writer {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(buffer: ArrayBuffer) {
    this.#bytes = Buffer.from(buffer);
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  length(value: number): void {
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  number(value: number): void {
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    this.length(bytes.length);
    this.raw(bytes);
  }

  ascii(text: string): void {
    this.length(text.length);
    this.#at += this.#bytes.write(text, this.#at, 'latin1');
  }
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(buffer: ArrayBuffer) {
    this.#bytes = Buffer.from(buffer);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  length(): number {
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  number(): number {
    const value = this.#bytes.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  raw(length: number): Uint8Array {
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  bytes(): Uint8Array {
    return this.raw(this.length());
  }

  ascii(): string {
    const length = this.length();
    const start = this.#at;
    this.#at += length;
    return this.#bytes.toString('latin1', start, this.#at);
  }
}
