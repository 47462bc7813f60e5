import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { openCheckpoint, type SignedCheckpoint } from './checkpoint.ts';
import { HEAD_FILE, type LedgerFiles, readWhole, VERIFIER_FILE } from './files.ts';
import { decodeHeader, FRAME_HEADER_BYTES, joinEntries } from './frame.ts';
import { readBundlePlace, readHashes, readSubtree } from './hash-files.ts';
import { type Frame, type LogPosition, listSegments, scanLog, segmentName } from './log-scan.ts';
import { type NoteVerifier, parseVerifierKey } from './note-key.ts';
import type { SubtreeSource } from './proof.ts';
import { TILE_WIDTH, type TileName, tileWidth } from './tile-path.ts';

/** The part of the files that reading needs. */
export type ReadableFiles = Pick<LedgerFiles, 'list' | 'size' | 'read'>;

/** Key of the log in a data directory; fails with LEDGER_ABSENT or LEDGER_NOTE_INVALID. */
export async function readVerifier(files: ReadableFiles): Promise<Result<NoteVerifier>> {
  const text = await readWhole(files, VERIFIER_FILE);
  if (!text.ok) return text;
  if (text.value === undefined) return fail('LEDGER_ABSENT', 'there is no ledger here');
  return parseVerifierKey(Buffer.from(text.value).toString('utf8').trimEnd());
}

/** The last checkpoint of a data directory; fails with LEDGER_ABSENT, or as `openCheckpoint`. */
export async function readHead(
  files: ReadableFiles,
  verifier: NoteVerifier,
): Promise<Result<SignedCheckpoint>> {
  const bytes = await readWhole(files, HEAD_FILE);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return fail('LEDGER_ABSENT', 'there is no ledger here');
  return openCheckpoint(bytes.value, verifier);
}

/** Roots of complete subtrees, for proofs. */
export function subtreesIn(files: Pick<LedgerFiles, 'read'>): SubtreeSource {
  return (subtree) => readSubtree(files, subtree);
}

/**
 * Content of a tile or bundle in the tree of a size (C2SP tlog-tiles). Fails with LEDGER_INDEX_RANGE
 * where the tree has no such tile, LEDGER_BODY_GONE where a bundle was dropped.
 */
export async function readTile(
  files: ReadableFiles,
  size: number,
  { level, index, width }: TileName,
): Promise<Result<Uint8Array>> {
  if (width > tileWidth(level === 'entries' ? 0 : level, index, size)) {
    return fail('LEDGER_INDEX_RANGE', 'the tree has no such tile');
  }
  if (level !== 'entries')
    return readHashes(files, level, { first: index * TILE_WIDTH, count: width });
  const entries: Uint8Array[] = [];
  const first = index * TILE_WIDTH;
  const read = await readEntries(files, { first, end: first + width }, (entry) =>
    entries.push(entry),
  );
  return read.ok ? ok(joinEntries(entries)) : read;
}

/** One entry; fails as {@link readTile}. */
export async function readEntry(
  files: ReadableFiles,
  size: number,
  index: number,
): Promise<Result<Uint8Array>> {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    return fail('LEDGER_INDEX_RANGE', `the tree has no record ${index}, but ${size} records`);
  }
  let found: Uint8Array = utf8('');
  const read = await readEntries(files, { first: index, end: index + 1 }, (entry) => {
    found = entry;
  });
  return read.ok ? ok(found) : read;
}

/**
 * Entries `[first, end)` in order. Fails with LEDGER_BODY_GONE where the first of them were dropped,
 * LEDGER_CORRUPT where they cannot be read.
 */
export async function readEntries(
  files: ReadableFiles,
  range: { readonly first: number; readonly end: number },
  onEntry: (entry: Uint8Array, index: number) => void,
): Promise<Result<void>> {
  let next = range.first;
  const onFrame = ({ header, entries }: Frame): boolean => {
    if (header.firstIndex + header.count <= next) return true;
    for (const [at, entry] of entries().entries()) {
      const index = header.firstIndex + at;
      if (index === next && index < range.end) {
        onEntry(entry, index);
        next += 1;
      }
    }
    return next < range.end;
  };
  const scanned = await scanFrames(files, range.first, onFrame);
  if (!scanned.ok) return scanned;
  return next >= range.end ? ok(undefined) : fail('LEDGER_CORRUPT', `record ${next} is missing`);
}

/** Batches in order, from the one on that holds a record; fails as {@link readEntries}. */
export async function scanFrames(
  files: ReadableFiles,
  first: number,
  onFrame: (frame: Frame) => Promise<boolean> | boolean,
): Promise<Result<void>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  const oldest = segments.value[0]?.first ?? 0;
  if (first < oldest) {
    return fail('LEDGER_BODY_GONE', `records before ${oldest} were dropped after their retention`);
  }
  const segment = segments.value.findLast((each) => each.first <= first);
  if (segment === undefined) return ok(undefined);
  const start = await frameNear(files, first, { segment: segment.first, offset: 0 });
  if (!start.ok) return start;
  const scanned = await scanLog(files, segments.value, { ...start.value, onFrame });
  return scanned.ok ? ok(undefined) : scanned;
}

/** The batch from which a record is found soonest: of its bundle's place, or of its segment. */
async function frameNear(
  files: ReadableFiles,
  index: number,
  segmentStart: LogPosition,
): Promise<Result<{ from: LogPosition; index: number }>> {
  const bundle = Math.floor(index / TILE_WIDTH);
  const place = await readBundlePlace(files, bundle);
  if (!place.ok) return place;
  const from = place.value;
  // What is listed is a hint: it counts only where a batch starts that may hold the record.
  if (from !== undefined) {
    const read = await files.read(segmentName(from.segment), from.offset, FRAME_HEADER_BYTES);
    if (!read.ok) return read;
    const firstIndex = decodeHeader(read.value)?.firstIndex;
    if (firstIndex !== undefined && firstIndex <= index) return ok({ from, index: firstIndex });
  }
  return ok({ from: segmentStart, index: segmentStart.segment });
}
