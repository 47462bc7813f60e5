import type { Result } from '../base/result.ts';
import { ok } from '../base/result.ts';
import type { Frame } from './log-scan.ts';
import { type ReadableFiles, scanFrames } from './reader.ts';
import { decodeRecord, fieldBytes, type LedgerRecord } from './record.ts';

/** What a record must be to be found; what is not given does not matter. */
export interface RecordFilter {
  readonly spiffeId?: string | undefined;
  /** Lower-case hexadecimal. */
  readonly serial?: string | undefined;
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

/**
 * Finds records among the first `size`, in order. Streams the log: batches that cannot hold one are
 * passed over by the times in their header, or by a look for the bytes of the fields; only entries
 * that hold them are decoded. `onRecord` answers whether to go on. Fails as `readEntries`.
 */
export async function searchRecords(
  files: ReadableFiles,
  { first, size }: { readonly first: number; readonly size: number },
  filter: RecordFilter,
  onRecord: (found: FoundRecord) => boolean,
): Promise<Result<void>> {
  const needles = needlesOf(filter);
  let refusal: Result<void> = ok(undefined);
  const onFrame = (frame: Frame): boolean => {
    if (frame.header.firstIndex >= size) return false;
    if (!mayHold(frame, needles, filter)) return true;
    for (const [at, entry] of frame.entries().entries()) {
      const index = frame.header.firstIndex + at;
      if (index >= size) return false;
      if (index < first || !needles.every((needle) => holds(entry, needle))) continue;
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
  const scanned = await scanFrames(files, first, onFrame);
  return scanned.ok ? refusal : scanned;
}

function needlesOf({ spiffeId, serial, agentId, podUid }: RecordFilter): readonly Uint8Array[] {
  return [
    ...(spiffeId === undefined ? [] : [fieldBytes('spiffeId', spiffeId)]),
    ...(serial === undefined ? [] : [fieldBytes('serial', serial)]),
    ...(agentId === undefined ? [] : [fieldBytes('agentId', agentId)]),
    ...(podUid === undefined ? [] : [fieldBytes('podUid', podUid)]),
  ];
}

function mayHold(
  { header, payload }: Frame,
  needles: readonly Uint8Array[],
  { sinceMs = 0, untilMs = Infinity }: RecordFilter,
): boolean {
  if (header.maxTimeMs < sinceMs || header.minTimeMs >= untilMs) return false;
  return needles.every((needle) => holds(payload, needle));
}

function holds(bytes: Uint8Array, needle: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(needle);
}

function isMatch(record: LedgerRecord, filter: RecordFilter): boolean {
  const { sinceMs = 0, untilMs = Infinity } = filter;
  return (
    (filter.spiffeId === undefined || record.spiffeId === filter.spiffeId) &&
    (filter.serial === undefined || record.serial === filter.serial) &&
    (filter.agentId === undefined || record.agentId === filter.agentId) &&
    (filter.podUid === undefined || record.podUid === filter.podUid) &&
    record.timeMs >= sinceMs &&
    record.timeMs < untilMs
  );
}
