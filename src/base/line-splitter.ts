const LF = 0x0a;

/** Lines that a piece of a stream made whole. */
export interface SplitLines {
  /** Without their line feeds. */
  readonly lines: readonly Uint8Array[];
  /** A line after these is longer than is read: nothing more is to be split. */
  readonly tooLong: boolean;
}

/** Lines out of a stream of bytes; what is not whole is kept, in time that grows with its length alone. */
export class LineSplitter {
  readonly #maxLineBytes: number;
  #kept = new Uint8Array(256);
  #length = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Takes in the next piece. */
  split(piece: Uint8Array): SplitLines {
    const lines: Uint8Array[] = [];
    let from = 0;
    for (let at = piece.indexOf(LF); at >= 0; at = piece.indexOf(LF, from)) {
      if (!this.#keep(piece.subarray(from, at))) return { lines, tooLong: true };
      lines.push(this.#kept.slice(0, this.#length));
      this.#length = 0;
      from = at + 1;
    }
    return { lines, tooLong: !this.#keep(piece.subarray(from)) };
  }

  #keep(part: Uint8Array): boolean {
    const length = this.#length + part.length;
    if (length > this.#maxLineBytes) return false;
    if (length > this.#kept.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#kept.length));
      larger.set(this.#kept.subarray(0, this.#length));
      this.#kept = larger;
    }
    this.#kept.set(part, this.#length);
    this.#length = length;
    return true;
  }
}
