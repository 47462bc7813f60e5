import {
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  MAX_FRAME_BYTES,
  POISON,
  PREFACE,
  readFrameHeader,
} from './frames.ts';
import { HeaderBlock } from './header-block.ts';
import { HpackDecoder } from './hpack.ts';
import { needsAuthority, withAuthority } from './judge.ts';

/**
 * Where the filter stands in the client's bytes. `preface` → `head` ⇄ `forward` | `collect`; a false
 * preface leads to `pass`, hostile framing to `discard`, and nothing leads out of those two.
 */
type State =
  | 'preface'
  /** Collecting the nine octets of a frame header. */
  | 'head'
  /** Inside a frame that goes on as it comes. */
  | 'forward'
  /** Inside HEADERS or CONTINUATION, or an ACK to swallow. */
  | 'collect'
  | 'pass'
  | 'discard';

/**
 * How much longer rewritten blocks may be, in all, than what the client has sent. A client that indexes
 * everything, as grpc-java does, comes to about ten times; one index of a large entry, repeated, to a
 * thousand times. The allowance is for large blocks early on.
 */
const MAX_EXPANSION = 32;
const EXPANSION_ALLOWANCE_BYTES = 256 * 1024;

/** A list that nghttp2 answers with a reset of the stream: stands for one that passed its cap. */
const REFUSED_LIST = [{ name: ':authority', value: '' }];

/**
 * Repairs the `:authority` of requests that Node's HTTP/2 would reset before any of our code sees
 * them (clients that send the socket's path). Bytes go on unchanged until the first bad one; from then
 * on every header block of the connection is written anew without the dynamic table, so that nghttp2's
 * stale table is never referred to. What is wrong in other ways is handed on for nghttp2 to judge.
 */
export class AuthorityFilter {
  readonly #emit: (bytes: Buffer) => void;
  readonly #decoder = new HpackDecoder();
  #state: State = 'preface';
  #matched = 0;
  #collected: Buffer[] = [];
  #missing = FRAME_HEADER_BYTES;
  #header: FrameHeader | undefined;
  #block: HeaderBlock | undefined;
  #highestStreamId = 0;
  #rewriting = false;
  #receivedBytes = 0;
  #rewrittenBytes = 0;
  #swallowAck: boolean;

  /**
   * @param emit Takes what goes on to nghttp2.
   * @param swallowAck A SETTINGS frame of ours went out before nghttp2's: its ACK is not passed on.
   */
  constructor(emit: (bytes: Buffer) => void, swallowAck: boolean) {
    this.#emit = emit;
    this.#swallowAck = swallowAck;
  }

  /** Whether a frame header, a header block or the preface is begun and not finished. */
  get midFrame(): boolean {
    if (this.#state === 'preface') return true;
    return this.#block !== undefined || this.#collected.length > 0;
  }

  /** Takes bytes of the client. */
  push(chunk: Buffer): void {
    this.#receivedBytes += chunk.length;
    let rest = chunk;
    while (rest.length > 0) rest = this.#step(rest);
  }

  /** Nobody takes what goes on any more: the rest, also of a chunk under way, is not looked at. */
  stop(): void {
    this.#block = undefined;
    this.#collected = [];
    this.#state = 'discard';
  }

  #step(bytes: Buffer): Buffer {
    switch (this.#state) {
      case 'preface':
        return this.#preface(bytes);
      case 'pass':
        this.#emit(bytes);
        return bytes.subarray(bytes.length);
      case 'discard':
        return bytes.subarray(bytes.length);
      case 'forward':
        return this.#forward(bytes);
      default:
        return this.#collect(bytes);
    }
  }

  #preface(bytes: Buffer): Buffer {
    const expected = PREFACE.subarray(this.#matched, this.#matched + bytes.length);
    const part = bytes.subarray(0, expected.length);
    if (!part.equals(expected)) {
      this.#state = 'pass';
      return bytes;
    }
    this.#matched += part.length;
    if (this.#matched === PREFACE.length) this.#expectHead();
    this.#emit(part);
    return bytes.subarray(part.length);
  }

  #forward(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#missing);
    this.#missing -= part.length;
    if (this.#missing === 0) this.#expectHead();
    this.#emit(part);
    return bytes.subarray(part.length);
  }

  #collect(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#missing);
    this.#collected.push(part);
    this.#missing -= part.length;
    if (this.#missing > 0) return bytes.subarray(part.length);
    const [only] = this.#collected;
    const whole =
      this.#collected.length === 1 && only !== undefined ? only : Buffer.concat(this.#collected);
    if (this.#state === 'head') this.#onHead(whole);
    else if (this.#header && this.#block) this.#onFrame(this.#header, this.#block, whole);
    return bytes.subarray(part.length);
  }

  #expectHead(): void {
    this.#state = 'head';
    this.#collected = [];
    this.#missing = FRAME_HEADER_BYTES;
  }

  #onHead(bytes: Buffer): void {
    const header = readFrameHeader(bytes, 0);
    if (this.#breaksFraming(header)) this.#poison();
    else if (this.#isOurAck(header)) this.#dropAck();
    else if (header.type === FRAME.headers || header.type === FRAME.continuation) {
      this.#beginBlockFrame(header, bytes);
    } else this.#beginForward(header, bytes);
  }

  /** A block may not be broken into, nor continued where there is none (RFC 9113 §6.10). */
  #breaksFraming(header: FrameHeader): boolean {
    const continues = header.type === FRAME.continuation;
    if (this.#block === undefined) {
      if (continues) return true;
    } else if (!continues || header.streamId !== this.#block.streamId) return true;
    const buffered = continues || header.type === FRAME.headers;
    return buffered && (header.length > MAX_FRAME_BYTES || header.streamId === 0);
  }

  #dropAck(): void {
    this.#swallowAck = false;
    this.#expectHead();
  }

  #beginForward(header: FrameHeader, bytes: Buffer): void {
    this.#expectHead();
    if (header.length > 0) {
      this.#missing = header.length;
      this.#state = 'forward';
    }
    this.#emit(bytes);
  }

  #beginBlockFrame(header: FrameHeader, bytes: Buffer): void {
    this.#block ??= new HeaderBlock(header);
    this.#header = header;
    this.#collected = [bytes];
    this.#missing = header.length;
    this.#state = 'collect';
    if (header.length === 0) this.#onFrame(header, this.#block, bytes);
  }

  #isOurAck(header: FrameHeader): boolean {
    return (
      this.#swallowAck &&
      header.type === FRAME.settings &&
      (header.flags & FLAG.ack) !== 0 &&
      header.length === 0 &&
      header.streamId === 0
    );
  }

  #onFrame(header: FrameHeader, block: HeaderBlock, frame: Buffer): void {
    const fits = block.add(header, frame);
    const ends = (header.flags & FLAG.endHeaders) !== 0;
    // First, since whoever takes the bytes may stop this.
    this.#expectHead();
    if (!fits || (ends && !this.#onBlock(block))) this.#poison();
  }

  /** Judges a whole block and hands it on; false when it is broken or grows too much. */
  #onBlock(block: HeaderBlock): boolean {
    this.#block = undefined;
    const list = this.#decoder.decode(block.compressed);
    if (list === undefined) return false;
    const { fields, overflowed } = list;
    const isRequest = block.streamId % 2 === 1 && block.streamId > this.#highestStreamId;
    if (isRequest) this.#highestStreamId = block.streamId;
    const repairs = isRequest && !overflowed && needsAuthority(fields);
    this.#rewriting ||= repairs;
    if (!this.#rewriting) {
      for (const frame of block.raw) this.#emit(frame);
    } else if (overflowed) {
      return this.#emitRewritten(block.rewritten(REFUSED_LIST));
    } else {
      return this.#emitRewritten(block.rewritten(repairs ? withAuthority(fields) : fields));
    }
    return true;
  }

  #emitRewritten(bytes: Buffer): boolean {
    this.#rewrittenBytes += bytes.length;
    const allowed = EXPANSION_ALLOWANCE_BYTES + MAX_EXPANSION * this.#receivedBytes;
    if (this.#rewrittenBytes > allowed) return false;
    this.#emit(bytes);
    return true;
  }

  /** Makes nghttp2 end the connection, and hands it nothing more. */
  #poison(): void {
    this.#emit(POISON);
    this.stop();
  }
}
