import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { LedgerFiles } from './files.ts';
import { decodeHeader, FRAME_HEADER_BYTES } from './frame.ts';
import { Frontier, subtreesOf } from './frontier.ts';
import { HASH_BYTES, hashAt, hashLeaf } from './hash.ts';
import { PendingHashes, readBundlePlace, readHashes, readSubtree } from './hash-files.ts';
import {
  type Frame,
  type LogEnd,
  type LogPosition,
  listSegments,
  type Segment,
  scanLog,
  segmentName,
} from './log-scan.ts';
import { TILE_WIDTH } from './tile-path.ts';

/** Where a ledger goes on. */
export interface Recovered {
  readonly frontier: Frontier;
  /** Hashes of records behind the head. */
  readonly pending: PendingHashes;
  readonly end: LogEnd;
  readonly segments: readonly Segment[];
}

/** The last records that every start reads again, besides those that the head does not cover. */
const REREAD_RECORDS = 65_536;

/** Records whose hashes a rebuild holds before it writes them. */
const REBUILD_CHUNK = 65_536;

/**
 * Finds the end of the log after a stop of any kind. The tree up to the head comes from the hash
 * files, so that a start does not read the whole log; the head proves them, and they are made anew
 * from the log where they are missing or wrong. What a crash tore is cut. Fails with
 * LEDGER_ROLLED_BACK, LEDGER_FORKED or LEDGER_CORRUPT.
 */
export async function recover(files: LedgerFiles, head: Checkpoint): Promise<Result<Recovered>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  const frontier = await storedFrontier(files, head);
  const recovered =
    frontier === undefined
      ? await rebuild(files, segments.value, head)
      : await resume(files, segments.value, { head, frontier });
  if (!recovered.ok) return recovered;
  const { end } = recovered.value;
  if (end.size < head.size) return rolledBack(end.size, head);
  // A crash before this line leaves the torn end, which the next start cuts again.
  if (end.tornBytes > 0) {
    const cut = await files.truncate(segmentName(end.segment), end.offset);
    if (!cut.ok) return cut;
  }
  return recovered;
}

/** The edge of the tree at the head; undefined where the hash files do not lead to its root. */
async function storedFrontier(files: LedgerFiles, head: Checkpoint): Promise<Frontier | undefined> {
  const hashes: Uint8Array[] = [];
  for (const subtree of subtreesOf(head.size)) {
    const hash = await readSubtree(files, subtree);
    if (!hash.ok) return undefined;
    hashes.push(hash.value);
  }
  const frontier = new Frontier(head.size, hashes);
  return equalBytes(frontier.root(), head.root) ? frontier : undefined;
}

async function resume(
  files: LedgerFiles,
  segments: readonly Segment[],
  { head, frontier }: { readonly head: Checkpoint; readonly frontier: Frontier },
): Promise<Result<Recovered>> {
  const oldest = segments[0]?.first ?? 0;
  const place = await placeNear(files, Math.max(0, head.size - REREAD_RECORDS), oldest);
  if (!place.ok) return place;
  if (place.value === undefined) return rebuild(files, segments, head);
  const { from, index } = place.value;
  const known = await readHashes(files, 0, { first: index, count: head.size - index });
  if (!known.ok) return known;
  const pending = new PendingHashes(head.size);
  let altered = false;
  const onFrame = (frame: Frame): boolean => {
    pending.placeBehind(head.size, frame);
    for (const [at, entry] of frame.entries().entries()) {
      const leaf = hashLeaf(entry);
      const record = frame.header.firstIndex + at;
      if (record >= head.size) frontier.push(leaf, (subtree, hash) => pending.add(subtree, hash));
      else if (!equalBytes(leaf, hashAt(known.value, record - index))) altered = true;
    }
    return !altered;
  };
  const end = await scanLog(files, segments, { from, index, onFrame });
  if (!end.ok) return end;
  if (altered)
    return fail('LEDGER_FORKED', 'a record is not the one that the last checkpoint covers');
  return ok({ frontier, pending, end: end.value, segments });
}

/**
 * The start of the batch that holds the first record of the bundle that `index` is in; of the oldest
 * segment where that batch was dropped.
 */
async function placeNear(
  files: LedgerFiles,
  index: number,
  oldest: number,
): Promise<Result<{ from: LogPosition; index: number } | undefined>> {
  const bundle = Math.floor(index / TILE_WIDTH);
  if (bundle === 0) return ok({ from: { segment: oldest, offset: 0 }, index: oldest });
  const place = await readBundlePlace(files, bundle);
  if (!place.ok) return place;
  if (place.value === undefined) return ok(undefined);
  const { segment, offset } = place.value;
  if (segment < oldest) return ok({ from: { segment: oldest, offset: 0 }, index: oldest });
  const read = await files.read(segmentName(segment), offset, FRAME_HEADER_BYTES);
  if (!read.ok) return read;
  const header = decodeHeader(read.value);
  if (header === undefined) return ok(undefined);
  const { firstIndex, count } = header;
  const first = bundle * TILE_WIDTH;
  const holds = firstIndex <= first && first < firstIndex + count;
  return ok(holds ? { from: place.value, index: firstIndex } : undefined);
}

/** Reads the whole log and writes the hash files anew, a part at a time. */
async function rebuild(
  files: LedgerFiles,
  segments: readonly Segment[],
  head: Checkpoint,
): Promise<Result<Recovered>> {
  const first = segments[0]?.first ?? 0;
  const frontier = new Frontier();
  let pending = new PendingHashes(0);
  let failure: Result<void> = ok(undefined);
  let rootAtHead = head.size === 0 ? frontier.root() : new Uint8Array(HASH_BYTES);
  const onFrame = async (frame: Frame): Promise<boolean> => {
    pending.placeBehind(0, frame);
    for (const entry of frame.entries()) {
      frontier.push(hashLeaf(entry), (subtree, hash) => pending.add(subtree, hash));
      if (frontier.size === head.size) rootAtHead = frontier.root();
    }
    if (pending.count < REBUILD_CHUNK) return true;
    failure = await pending.flush(files);
    pending = new PendingHashes(frontier.size);
    return failure.ok;
  };
  const from = { segment: first, offset: 0 };
  const end = await scanLog(files, segments, { from, index: first, onFrame });
  if (!failure.ok) return failure;
  if (!end.ok) return end;
  if (end.value.size < head.size) return rolledBack(end.value.size, head);
  if (first > 0) {
    const what =
      'the hash files are damaged, and records that they could be made from were dropped';
    return fail('LEDGER_CORRUPT', what);
  }
  if (!equalBytes(rootAtHead, head.root)) {
    return fail('LEDGER_FORKED', 'the log is not the one that the last checkpoint covers');
  }
  return ok({ frontier, pending, end: end.value, segments });
}

function rolledBack(size: number, head: Checkpoint): Result<never> {
  const message = `the log has ${size} records, the last checkpoint covers ${head.size}`;
  return fail('LEDGER_ROLLED_BACK', message);
}
