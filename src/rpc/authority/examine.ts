import {
  EMPTY_SETTINGS,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  MAX_FRAME_BYTES,
  PREFACE,
  readFrameHeader,
} from './frames.ts';
import { HeaderBlock } from './header-block.ts';
import { HpackDecoder } from './hpack.ts';
import { needsAuthority } from './judge.ts';

/** What the first bytes of a connection say about the rest. */
export type Verdict =
  /** Not enough yet; `greets` once the preface is whole and the client may wait for our SETTINGS. */
  | { readonly kind: 'more'; readonly greets: boolean }
  /** nghttp2 can have the socket itself; these are the bytes to give it first. */
  | { readonly kind: 'native'; readonly bytes: Buffer }
  /** The first request needs repair, or the client does something unusual. */
  | { readonly kind: 'filter' };

const FILTER: Verdict = { kind: 'filter' };

/** Frames of a client's first flight that say nothing about its requests. */
const PASSED_OVER: readonly number[] = [
  FRAME.settings,
  FRAME.windowUpdate,
  FRAME.priority,
  FRAME.data,
];

/**
 * Reads a connection's first bytes up to its first request. A pure function of all bytes so far, since
 * most clients need it once or twice.
 *
 * @param greeted Our SETTINGS went out: its ACK has to come, and is left out of `bytes`.
 */
export function examine(bytes: Buffer, greeted: boolean): Verdict {
  const preface = bytes.subarray(0, PREFACE.length);
  if (!preface.equals(PREFACE.subarray(0, preface.length))) return { kind: 'native', bytes };
  if (preface.length < PREFACE.length) return { kind: 'more', greets: false };
  let ackAt = greeted ? -1 : undefined;
  let judged = false;
  for (let at = PREFACE.length; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const header = readFrameHeader(bytes, at);
    const end = at + FRAME_HEADER_BYTES + header.length;
    if (header.length > MAX_FRAME_BYTES) return FILTER;
    if (header.type === FRAME.headers) {
      if (judged) return FILTER;
      if (end > bytes.length) break;
      if (!isGoodRequest(header, bytes.subarray(at, end))) return FILTER;
      judged = true;
    } else if (!PASSED_OVER.includes(header.type)) {
      return FILTER;
    } else if (ackAt === -1 && isAck(header)) {
      ackAt = at;
    }
    if (judged && ackAt !== -1) return { kind: 'native', bytes: without(bytes, ackAt) };
    at = end;
  }
  return { kind: 'more', greets: !judged };
}

function isAck(header: FrameHeader): boolean {
  return header.type === FRAME.settings && (header.flags & FLAG.ack) !== 0 && header.length === 0;
}

/** The bytes without the SETTINGS ACK that stands at `ackAt`. */
function without(bytes: Buffer, ackAt: number | undefined): Buffer {
  if (ackAt === undefined) return bytes;
  const after = bytes.subarray(ackAt + EMPTY_SETTINGS.length);
  return Buffer.concat([bytes.subarray(0, ackAt), after]);
}

/** Whether the frame is a whole first request that nghttp2 will take as it is. */
function isGoodRequest(header: FrameHeader, frame: Buffer): boolean {
  if ((header.flags & FLAG.endHeaders) === 0 || header.streamId % 2 === 0) return false;
  const block = new HeaderBlock(header);
  if (!block.add(header, frame)) return false;
  const list = new HpackDecoder().decode(block.compressed);
  return list !== undefined && !list.overflowed && !needsAuthority(list.fields);
}
