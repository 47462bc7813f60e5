import { fail, ok, type Result } from '../base/result.ts';
import { type LedgerFiles, LOG_FOLDER } from './files.ts';
import {
  decodeHeader,
  decodePayload,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  holdsHeader,
  MAX_PAYLOAD_BYTES,
} from './frame.ts';

/** A file of the log; named by the index of its first record. */
export interface Segment {
  readonly first: number;
  readonly name: string;
  readonly bytes: number;
}

/** A place in the log where a batch starts, or will. */
export interface LogPosition {
  /** First index of the segment. */
  readonly segment: number;
  readonly offset: number;
}

/** A batch that was read whole. */
export interface Frame {
  readonly header: FrameHeader;
  readonly at: LogPosition;
  readonly payload: Uint8Array;
  /** The entries, taken apart. */
  entries(): readonly Uint8Array[];
}

/** Where the log ends. */
export interface LogEnd extends LogPosition {
  /** Number of records up to there. */
  readonly size: number;
  /** Bytes behind it that a crash left of a batch that nobody was told of. */
  readonly tornBytes: number;
}

/** Bytes that are read at once; most batches are far smaller. */
const WINDOW_BYTES = 1024 * 1024;

/** Name of the segment that starts with a record. */
export function segmentName(first: number): string {
  return `${LOG_FOLDER}/${String(first).padStart(16, '0')}`;
}

/** The segments that there are, in order. */
export async function listSegments(
  files: Pick<LedgerFiles, 'list' | 'size'>,
): Promise<Result<readonly Segment[]>> {
  const names = await files.list(LOG_FOLDER);
  if (!names.ok) return names;
  const segments: Segment[] = [];
  for (const file of names.value.filter((each) => /^\d{16}$/.test(each))) {
    const first = Number(file);
    const name = segmentName(first);
    const size = await files.size(name);
    if (!size.ok) return size;
    segments.push({ first, name, bytes: size.value ?? 0 });
  }
  return ok(segments);
}

/** What a scan starts from, and who is told of each batch. */
export interface ScanOptions {
  readonly from: LogPosition;
  /** Index of the first record at `from`. */
  readonly index: number;
  /** Told of each whole batch in order; `false` ends the scan there. */
  readonly onFrame: (frame: Frame) => Promise<boolean> | boolean;
}

/**
 * Reads batches in order to the end of the log. A batch is passed over as torn only where it could
 * be one that a crash interrupted: at the very end, with nothing whole behind it. Any other damage
 * refuses with LEDGER_CORRUPT.
 */
export async function scanLog(
  files: Pick<LedgerFiles, 'read'>,
  segments: readonly Segment[],
  options: ScanOptions,
): Promise<Result<LogEnd>> {
  let index = options.index;
  let end: LogEnd = { ...options.from, size: index, tornBytes: 0 };
  const left = segments.filter(({ first }) => first >= options.from.segment);
  for (const [at, segment] of left.entries()) {
    if (at > 0 && segment.first !== index) return corrupt(segment, 0, 'does not follow the last');
    const offset = at === 0 ? options.from.offset : 0;
    const scanned = await scanSegment(files, segment, { ...options, offset, index });
    if (!scanned.ok) return scanned;
    end = scanned.value.end;
    index = end.size;
    if (scanned.value.stopped) return ok(end);
    if (end.tornBytes > 0 && at < left.length - 1) {
      return corrupt(segment, end.offset, 'is damaged before the end of the log');
    }
  }
  return ok(end);
}

async function scanSegment(
  files: Pick<LedgerFiles, 'read'>,
  segment: Segment,
  { onFrame, offset: start, index: first }: ScanOptions & { readonly offset: number },
): Promise<Result<{ end: LogEnd; stopped: boolean }>> {
  let index = first;
  let offset = start;
  let window: { readonly start: number; readonly bytes: Uint8Array } = {
    start,
    bytes: new Uint8Array(),
  };
  const load = async (from: number, length: number): Promise<Result<Uint8Array>> => {
    const begin = from - window.start;
    if (begin + length <= window.bytes.length)
      return ok(window.bytes.subarray(begin, begin + length));
    const read = await files.read(segment.name, from, Math.max(length, WINDOW_BYTES));
    if (!read.ok) return read;
    window = { start: from, bytes: read.value };
    return ok(read.value.subarray(0, length));
  };
  const stop = (tornBytes: number, stopped: boolean) =>
    ok({ end: { segment: segment.first, offset, size: index, tornBytes }, stopped });
  while (offset < segment.bytes) {
    const rest = segment.bytes - offset;
    const head = await load(offset, Math.min(rest, FRAME_HEADER_BYTES));
    if (!head.ok) return head;
    const header = decodeHeader(head.value);
    if (header === undefined) {
      const torn = await isTorn(files, segment, offset);
      if (!torn.ok) return torn;
      return torn.value ? stop(rest, false) : corrupt(segment, offset, 'is damaged');
    }
    if (header.firstIndex !== index) return corrupt(segment, offset, 'holds a batch out of order');
    const length = FRAME_HEADER_BYTES + header.payloadBytes;
    // The header is whole, so its length is right: nothing can stand behind what is cut short.
    if (length > rest) return stop(rest, false);
    const frame = await load(offset, length);
    if (!frame.ok) return frame;
    const payload = frame.value.subarray(FRAME_HEADER_BYTES);
    const entries = decodePayload(header, payload);
    if (entries === undefined) {
      return length === rest ? stop(rest, false) : corrupt(segment, offset, 'is damaged');
    }
    const at = { segment: segment.first, offset };
    const goOn = await onFrame({ header, at, payload, entries: () => entries });
    if (!goOn) return stop(0, true);
    offset += length;
    index += header.count;
  }
  return stop(0, false);
}

/** A header is missing: torn by a crash only if it is the last thing, and no larger than a batch. */
async function isTorn(
  files: Pick<LedgerFiles, 'read'>,
  segment: Segment,
  offset: number,
): Promise<Result<boolean>> {
  const rest = segment.bytes - offset;
  if (rest > FRAME_HEADER_BYTES + MAX_PAYLOAD_BYTES) return ok(false);
  const tail = await files.read(segment.name, offset, rest);
  return tail.ok ? ok(!holdsHeader(tail.value.subarray(1))) : tail;
}

function corrupt(segment: Segment, offset: number, what: string): Result<never> {
  return fail('LEDGER_CORRUPT', `${segment.name} ${what} (byte ${offset})`);
}
