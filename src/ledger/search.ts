import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Result } from '../base/result.ts';
import { ok } from '../base/result.ts';
import { type Frame, listSegments } from './log-scan.ts';
import { type ReadableFiles, scanFrames } from './reader.ts';
import { decodeRecord, fieldBytes, type LedgerRecord } from './record.ts';

/** What a record must be to be found; what is not given does not matter. */
export interface RecordFilter {
  readonly spiffeId?: string | undefined;
  /** Lower-case hexadecimal; any of them. */
  readonly serials?: readonly string[] | undefined;
  readonly agentId?: string | undefined;
  readonly podUid?: string | undefined;
  /** Not before, Unix milliseconds. */
  readonly sinceMs?: number | undefined;
  /** Before, Unix milliseconds. */
  readonly untilMs?: number | undefined;
}

/** A record that was found. */
export interface FoundRecord {
  readonly index: number;
  readonly record: LedgerRecord;
  readonly entry: Uint8Array;
}

/** What is looked through between two turns of the event loop: a few milliseconds of work. */
const TURN_FRAMES = 32;
const TURN_BYTES = 128 * 1024;

/**
 * Finds records among the first `size`, in order. Streams the log: batches that cannot hold one are
 * passed over by the times in their header, or by a look for the bytes of the fields; only entries
 * that hold them are decoded. Others get their turn in between, however long the
 * log is. `onRecord` answers whether to go on. Fails as `readEntries`.
 */
export async function searchRecords(
  files: ReadableFiles,
  { first, size }: { readonly first: number; readonly size: number },
  filter: RecordFilter,
  onRecord: (found: FoundRecord) => boolean,
): Promise<Result<void>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  // Bodies before the oldest segment were dropped: what is left is searched.
  const start = Math.max(first, segments.value[0]?.first ?? 0);
  const needles = needlesOf(filter);
  let refusal: Result<void> = ok(undefined);
  const giveWay = turnGiver();
  const look = (frame: Frame): boolean => {
    if (frame.header.firstIndex >= size) return false;
    if (!mayHold(frame, needles, filter)) return true;
    for (const [at, entry] of frame.entries().entries()) {
      const index = frame.header.firstIndex + at;
      if (index >= size) return false;
      if (index < first || !holdsAll(entry, needles)) continue;
      const record = decodeRecord(entry);
      if (!record.ok) {
        refusal = record;
        return false;
      }
      if (!isMatch(record.value, filter)) continue;
      if (!onRecord({ index, record: record.value, entry })) return false;
    }
    return true;
  };
  const scanned = await scanFrames(files, start, async (frame) => {
    if (!look(frame)) return false;
    await giveWay(frame);
    return true;
  });
  return scanned.ok ? refusal : scanned;
}

/** Answers what is awaited after each batch: now and then it lets the event loop go round. */
function turnGiver(): (frame: Frame) => Promise<void> {
  let frames = 0;
  let bytes = 0;
  return async ({ payload }) => {
    frames += 1;
    bytes += payload.length;
    if (frames < TURN_FRAMES && bytes < TURN_BYTES) return;
    frames = 0;
    bytes = 0;
    await nextTurn();
  };
}

/** Bytes of which an entry holds at least one of each list. */
type Needles = readonly (readonly Uint8Array[])[];

function needlesOf({ spiffeId, serials, agentId, podUid }: RecordFilter): Needles {
  return [
    ...(spiffeId === undefined ? [] : [[fieldBytes('spiffeId', spiffeId)]]),
    ...(serials === undefined ? [] : [serials.map((serial) => fieldBytes('serial', serial))]),
    ...(agentId === undefined ? [] : [[fieldBytes('agentId', agentId)]]),
    ...(podUid === undefined ? [] : [[fieldBytes('podUid', podUid)]]),
  ];
}

function mayHold(
  { header, payload }: Frame,
  needles: Needles,
  { sinceMs = 0, untilMs = Infinity }: RecordFilter,
): boolean {
  if (header.maxTimeMs < sinceMs || header.minTimeMs >= untilMs) return false;
  return holdsAll(payload, needles);
}

function holdsAll(bytes: Uint8Array, needles: Needles): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return needles.every((any) => any.some((needle) => buffer.includes(needle)));
}

function isMatch(record: LedgerRecord, filter: RecordFilter): boolean {
  const { sinceMs = 0, untilMs = Infinity } = filter;
  return (
    (filter.spiffeId === undefined || record.spiffeId === filter.spiffeId) &&
    (filter.serials?.includes(record.serial ?? '') ?? true) &&
    (filter.agentId === undefined || record.agentId === filter.agentId) &&
    (filter.podUid === undefined || record.podUid === filter.podUid) &&
    record.timeMs >= sinceMs &&
    record.timeMs < untilMs
  );
}
