import { decodeHuffman } from './huffman.ts';
import { STATIC_TABLE } from './static-table.ts';

/** A header field; both texts are latin1, one character for each byte. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
}

/** A decoded block. */
export interface HeaderList {
  readonly fields: readonly HeaderField[];
  /** The list passed its cap: fields after that were decoded for the table's sake and dropped. */
  readonly overflowed: boolean;
}

/** Largest dynamic table, in the octets of RFC 7541 §4.1: what our SETTINGS leave at its default. */
const MAX_TABLE_SIZE = 4096;
/** What RFC 7541 §4.1 adds to name and value. */
const FIELD_OVERHEAD = 32;
/** Cap of a decoded list, counted as the table is. */
const MAX_LIST_SIZE = 64 * 1024;
/** Continuation octets of an integer: more than this many sevens of bits nothing here needs. */
const MAX_INTEGER_SHIFT = 28;

/** A block that breaks RFC 7541; caught in {@link HpackDecoder.decode}, never let out. */
const BROKEN = Symbol('broken header block');

/**
 * Decodes the header blocks of one direction of one connection (RFC 7541). Every block has to pass
 * through, in order: the dynamic table is the connection's.
 */
export class HpackDecoder {
  /** Oldest first. */
  readonly #table: HeaderField[] = [];
  #tableSize = 0;
  #tableLimit = MAX_TABLE_SIZE;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** The fields of a block; undefined when it is broken, and the connection with it. */
  decode(block: Buffer): HeaderList | undefined {
    this.#bytes = block;
    this.#at = 0;
    try {
      return this.#list();
    } catch (thrown) {
      if (thrown === BROKEN) return undefined;
      throw thrown;
    }
  }

  #list(): HeaderList {
    const fields: HeaderField[] = [];
    let listSize = 0;
    let first = true;
    while (this.#at < this.#bytes.length) {
      const byte = this.#bytes[this.#at] ?? 0;
      if ((byte & 0xe0) === 0x20) {
        // A size update stands before the first field only (§4.2).
        if (!first) throw BROKEN;
        this.#resize(this.#integer(5));
        continue;
      }
      first = false;
      const field = this.#field(byte);
      listSize += field.name.length + field.value.length + FIELD_OVERHEAD;
      if (listSize <= MAX_LIST_SIZE) fields.push(field);
    }
    return { fields, overflowed: listSize > MAX_LIST_SIZE };
  }

  #field(byte: number): HeaderField {
    if (byte & 0x80) return this.#lookUp(this.#integer(7));
    const indexing = (byte & 0x40) !== 0;
    const index = this.#integer(indexing ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#lookUp(index).name;
    const field = { name, value: this.#string() };
    if (indexing) this.#add(field);
    return field;
  }

  #lookUp(index: number): HeaderField {
    const field =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.#table[this.#table.length - (index - STATIC_TABLE.length)];
    if (field === undefined) throw BROKEN;
    return field;
  }

  #add(field: HeaderField): void {
    const size = field.name.length + field.value.length + FIELD_OVERHEAD;
    this.#table.push(field);
    this.#tableSize += size;
    this.#evict();
  }

  #resize(limit: number): void {
    if (limit > MAX_TABLE_SIZE) throw BROKEN;
    this.#tableLimit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableSize > this.#tableLimit) {
      const oldest = this.#table.shift();
      if (oldest === undefined) return;
      this.#tableSize -= oldest.name.length + oldest.value.length + FIELD_OVERHEAD;
    }
  }

  /** An integer with a prefix of `bits` (§5.1). */
  #integer(bits: number): number {
    const mask = (1 << bits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (shift > MAX_INTEGER_SHIFT) throw BROKEN;
      if (byte < 0x80) return value;
    }
  }

  /** A string literal (§5.2). */
  #string(): string {
    const huffman = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) throw BROKEN;
    this.#at = end;
    if (!huffman) return this.#bytes.toString('latin1', start, end);
    const text = decodeHuffman(this.#bytes, start, end);
    if (text === undefined) throw BROKEN;
    return text;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw BROKEN;
    return byte;
  }
}

/**
 * Encodes a list so that it neither reads nor changes a dynamic table: literals without indexing, new
 * names, no Huffman (§6.2.2).
 */
export function encodeLiterals(fields: readonly HeaderField[]): Buffer {
  const parts: Buffer[] = [];
  for (const { name, value } of fields) {
    parts.push(Buffer.of(0), stringLiteral(name), stringLiteral(value));
  }
  return Buffer.concat(parts);
}

function stringLiteral(text: string): Buffer {
  const head: number[] = [];
  if (text.length < 127) head.push(text.length);
  else {
    head.push(127);
    let rest = text.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) head.push((rest % 128) + 128);
    head.push(rest);
  }
  return Buffer.concat([Buffer.from(head), Buffer.from(text, 'latin1')]);
}
