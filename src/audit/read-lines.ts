import { fail, ok, type Result } from '../base/result.ts';
import { type Frame, listSegments } from '../ledger/log-scan.ts';
import { type ReadableFiles, scanFrames } from '../ledger/reader.ts';
import { type AuditLine, droppedLine, recordLine } from './sink.ts';

/** Which lines are wanted, and how many at once. */
export interface LineRange {
  readonly origin: string;
  readonly first: number;
  /** One past the last; more than `first`. */
  readonly end: number;
  readonly maxRecords: number;
  /** Lines stop after the one that passes this. */
  readonly maxBytes: number;
  /** Unix milliseconds, for a line that has no time of its own. */
  readonly nowMs: number;
}

/** Lines in order, and the index that the next ones begin at. */
export interface ReadLines {
  readonly lines: readonly AuditLine[];
  readonly next: number;
  /** How many records were dropped before they could be read; then the line says so. */
  readonly dropped: number;
}

/** The next lines; at least one. Fails with LEDGER_CORRUPT or FILE_UNREADABLE. */
export async function readLines(
  files: ReadableFiles,
  range: LineRange,
): Promise<Result<ReadLines>> {
  const { origin, first, end, maxRecords, maxBytes } = range;
  const lines: AuditLine[] = [];
  let bytes = 0;
  let next = first;
  const onFrame = ({ header, entries }: Frame): boolean => {
    if (header.firstIndex + header.count <= first) return true;
    for (const [at, entry] of entries().entries()) {
      if (header.firstIndex + at !== next) continue;
      if (next >= end || lines.length >= maxRecords || bytes > maxBytes) return false;
      const text = recordLine(origin, next, entry);
      lines.push({ origin, index: next, timeMs: header.minTimeMs, text });
      bytes += text.length;
      next += 1;
    }
    return true;
  };
  const scanned = await scanFrames(files, first, onFrame);
  if (!scanned.ok) {
    return scanned.error.code === 'LEDGER_BODY_GONE' ? readDropped(files, range) : scanned;
  }
  if (lines.length > 0) return ok({ lines, next, dropped: 0 });
  return fail('LEDGER_CORRUPT', `record ${first} is missing`);
}

/** Says what is gone, so that nobody takes a hole for an end. */
async function readDropped(
  files: ReadableFiles,
  { origin, first, end, nowMs }: LineRange,
): Promise<Result<ReadLines>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  const next = Math.min(end, segments.value[0]?.first ?? end);
  const dropped = next - first;
  if (dropped <= 0) return fail('LEDGER_CORRUPT', `record ${first} is missing`);
  const text = droppedLine(origin, first, dropped);
  return ok({ lines: [{ origin, index: first, timeMs: nowMs, text }], next, dropped });
}
