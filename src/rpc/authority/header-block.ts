import { FLAG, FRAME, type FrameHeader, MAX_FRAME_BYTES, writeFrameHeader } from './frames.ts';
import { encodeLiterals, type HeaderField } from './hpack.ts';

/** Caps of a block before it is decoded. */
const MAX_BLOCK_BYTES = 64 * 1024;
const MAX_BLOCK_FRAMES = 128;

/** HEADERS with its CONTINUATIONs, collected until END_HEADERS. */
export class HeaderBlock {
  readonly streamId: number;
  readonly #flags: number;
  readonly #raw: Buffer[] = [];
  readonly #fragments: Buffer[] = [];
  #priority: Buffer = Buffer.alloc(0);
  #size = 0;

  /** @param first Header of the HEADERS frame; its frame is added like the others. */
  constructor(first: FrameHeader) {
    this.streamId = first.streamId;
    this.#flags = first.flags;
  }

  /**
   * Takes the next frame, whole. False when padding or priority do not fit in it, or the block
   * passes its caps.
   */
  add(header: FrameHeader, frame: Buffer): boolean {
    const payload = frame.subarray(frame.length - header.length);
    const fragment = header.type === FRAME.headers ? this.#unwrap(payload) : payload;
    if (fragment === undefined) return false;
    this.#raw.push(frame);
    this.#fragments.push(fragment);
    this.#size += fragment.length;
    return this.#size <= MAX_BLOCK_BYTES && this.#raw.length <= MAX_BLOCK_FRAMES;
  }

  /** The compressed block, without padding and priority. */
  get compressed(): Buffer {
    const [only] = this.#fragments;
    return this.#fragments.length === 1 && only !== undefined
      ? only
      : Buffer.concat(this.#fragments);
  }

  /** The frames as they came. */
  get raw(): readonly Buffer[] {
    return this.#raw;
  }

  /** The same block with other fields, as literals; END_STREAM and priority are kept. */
  rewritten(fields: readonly HeaderField[]): Buffer {
    const block = encodeLiterals(fields);
    const parts: Buffer[] = [];
    let at = 0;
    do {
      const first = at === 0 && parts.length === 0;
      const room = MAX_FRAME_BYTES - (first ? this.#priority.length : 0);
      const fragment = block.subarray(at, at + room);
      at += fragment.length;
      const ends = at >= block.length ? FLAG.endHeaders : 0;
      const kept = this.#flags & (FLAG.endStream | FLAG.priority);
      parts.push(
        writeFrameHeader({
          length: fragment.length + (first ? this.#priority.length : 0),
          type: first ? FRAME.headers : FRAME.continuation,
          flags: ends | (first ? kept : 0),
          streamId: this.streamId,
        }),
        ...(first ? [this.#priority, fragment] : [fragment]),
      );
    } while (at < block.length);
    return Buffer.concat(parts);
  }

  /** The fragment of a HEADERS payload (RFC 9113 §6.2). */
  #unwrap(payload: Buffer): Buffer | undefined {
    let start = 0;
    let end = payload.length;
    if (this.#flags & FLAG.padded) {
      if (end === 0) return undefined;
      end -= payload.readUInt8(0);
      start = 1;
    }
    if (this.#flags & FLAG.priority) {
      if (start + 5 > end) return undefined;
      this.#priority = payload.subarray(start, start + 5);
      start += 5;
    }
    return start <= end ? payload.subarray(start, end) : undefined;
  }
}
