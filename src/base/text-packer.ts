/** A text that is kept in little memory. */
export interface PackedText {
  /** The text, unpacked anew each time: some 10 µs for 4 KB. */
  readonly text: string;
  /** Bytes that are kept for it, without its share of the dictionary. */
  readonly keptBytes: number;
}

/** Longest dictionary, in bytes. */
const MAX_DICTIONARY = 16 * 1024;
/** A text that does not become so much shorter is like none in the dictionary. */
const GOOD_RATIO = 4;
/** Shortest repetition that is worth its three or four numbers, in bytes. */
const MIN_COPY = 6;
const HASH_BITS = 13;
/** Longest text that is packed, in bytes; a longer one is kept as it is. */
const MAX_TEXT = 128 * 1024;

/**
 * Packs many texts that are alike, as objects of one kind are in JSON: the first ones that are not like
 * those before become the dictionary of all that come after. Ours and not that of Node.js because each
 * call of `deflateRawSync` holds its buffers until the next full collection: 40 MB for 10,000 pods.
 *
 * A packed text is a row of literals and copies (LZ77): count, bytes, then length and place of what is
 * copied, from the dictionary or from what was unpacked before. Texts are kept as UTF-8 would have them:
 * half a surrogate pair is not (`JSON.stringify` writes none).
 */
export class TextPacker {
  /** The dictionary, and behind it room for a text. */
  readonly #window = Buffer.alloc(MAX_DICTIONARY + MAX_TEXT);
  readonly #unpacked = Buffer.alloc(MAX_DICTIONARY + MAX_TEXT);
  /** What repeats nothing becomes a little longer. */
  readonly #packed = Buffer.alloc(2 * MAX_TEXT);
  /** It is only ever added to: what is packed already is read with the part that there was. */
  #dictionaryBytes = 0;
  /** Where in the dictionary six bytes were seen last, by their hash, counted from 1. */
  readonly #learned = new Int32Array(1 << HASH_BITS);
  readonly #seen = new Int32Array(1 << HASH_BITS);

  /** Packs a text: some 20 µs for 4 KB. */
  pack(text: string): PackedText {
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_TEXT) return { text, keptBytes: bytes };
    const from = this.#dictionaryBytes;
    const end = from + this.#window.write(text, from);
    const packedBytes = this.#squeeze(from, end);
    // As text: it is part of the heap, where a buffer would be three objects and memory beside it.
    const packed = this.#packed.toString('latin1', 0, packedBytes);
    if (packedBytes * GOOD_RATIO > end - from) this.#learn(end);
    return new Packed(packed, { packer: this, dictionaryBytes: from, length: end - from });
  }

  /** Reads what this packer packed. */
  unpack(packed: string, dictionaryBytes: number, length: number): string {
    const from = this.#packed;
    const to = this.#unpacked;
    from.write(packed, 'latin1');
    this.#window.copy(to, 0, 0, dictionaryBytes);
    const end = dictionaryBytes + length;
    let at = 0;
    let done = dictionaryBytes;
    const number = (): number => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = from[at++] ?? 0;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value;
      }
    };
    while (done < end) {
      for (let left = number(); left > 0; left -= 1) to[done++] = from[at++] ?? 0;
      if (done >= end) break;
      const copied = number();
      // Byte by byte: what is copied may reach into itself.
      for (let place = number(), stop = done + copied; done < stop; ) to[done++] = to[place++] ?? 0;
    }
    return to.toString('utf8', dictionaryBytes, end);
  }

  /** Packs what stands in the window into `#packed`; answers with the number of bytes. */
  #squeeze(from: number, end: number): number {
    const window = this.#window;
    const seen = this.#seen;
    seen.set(this.#learned);
    let out = 0;
    let told = from;
    for (let at = from; at + MIN_COPY <= end; ) {
      const hash = hashAt(window, at);
      const place = (seen[hash] ?? 0) - 1;
      seen[hash] = at + 1;
      const length = place < 0 ? 0 : sameBytes(window, { place, at, end });
      if (length < MIN_COPY) {
        at += 1;
        continue;
      }
      out = this.#putLiterals(out, told, at);
      out = this.#putNumber(this.#putNumber(out, length), place);
      at += length;
      told = at;
    }
    return told < end ? this.#putLiterals(out, told, end) : out;
  }

  #putLiterals(out: number, from: number, to: number): number {
    const at = this.#putNumber(out, to - from);
    this.#window.copy(this.#packed, at, from, to);
    return at + to - from;
  }

  /** Seven bits a byte, the lowest first. */
  #putNumber(out: number, value: number): number {
    let at = out;
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.#packed[at++] = (rest & 0x7f) | 0x80;
    this.#packed[at++] = rest;
    return at;
  }

  #learn(end: number): void {
    const from = this.#dictionaryBytes;
    this.#dictionaryBytes = Math.min(end, MAX_DICTIONARY);
    for (let at = from; at + MIN_COPY <= this.#dictionaryBytes; at += 1) {
      this.#learned[hashAt(this.#window, at)] = at + 1;
    }
  }
}

/** Of six bytes. */
function hashAt(bytes: Buffer, at: number): number {
  const low = bytes.readInt32LE(at);
  const high = bytes.readUInt16LE(at + 4);
  return Math.imul(Math.imul(low, 0x9e37_79b1) ^ high, 0x85eb_ca6b) >>> (32 - HASH_BITS);
}

/** How many bytes at two places are the same. */
function sameBytes(
  bytes: Buffer,
  { place, at, end }: { readonly place: number; readonly at: number; readonly end: number },
): number {
  let length = 0;
  while (at + length < end && bytes[place + length] === bytes[at + length]) length += 1;
  return length;
}

class Packed implements PackedText {
  readonly #packed: string;
  readonly #packer: TextPacker;
  readonly #dictionaryBytes: number;
  readonly #length: number;

  constructor(
    packed: string,
    of: { readonly packer: TextPacker; readonly dictionaryBytes: number; readonly length: number },
  ) {
    this.#packed = packed;
    this.#packer = of.packer;
    this.#dictionaryBytes = of.dictionaryBytes;
    this.#length = of.length;
  }

  get keptBytes(): number {
    return this.#packed.length;
  }

  get text(): string {
    return this.#packer.unpack(this.#packed, this.#dictionaryBytes, this.#length);
  }
}
