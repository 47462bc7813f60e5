import { ok, type Result } from '../base/result.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { LedgerFiles } from './files.ts';
import { decodeHeader, FRAME_HEADER_BYTES } from './frame.ts';
import { listSegments, type Segment } from './log-scan.ts';

/** Somebody who has not had all bodies yet. */
export interface BodyHold {
  /** First record that is still wanted. */
  readonly from: number;
  /** How much longer than others these bodies are kept for it, in milliseconds. */
  readonly extraMs: number;
}

/** What may be dropped. */
export interface DropRule {
  /** Unix milliseconds. */
  readonly beforeMs: number;
  readonly holds: readonly BodyHold[];
}

/**
 * Drops the bodies of records that are older than a moment, whole segments at a time; their hashes
 * stay in the tree, so that everything after them can still be proven. Never drops the last segment,
 * nor what no checkpoint covers, nor what a hold keeps. Answers how many records were dropped.
 */
export async function dropBodies(
  files: LedgerFiles,
  checkpoint: Checkpoint,
  { beforeMs, holds }: DropRule,
): Promise<Result<number>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  let dropped = 0;
  for (const [at, segment] of segments.value.entries()) {
    const next = segments.value[at + 1];
    if (next === undefined || next.first > checkpoint.size) break;
    const extraMs = holds.filter(({ from }) => from < next.first).map((hold) => hold.extraMs);
    const old = await startsBefore(files, next, beforeMs - Math.max(0, ...extraMs));
    if (!old.ok) return old;
    if (!old.value) break;
    // The oldest first: a crash in between leaves a log without a hole.
    const removed = await files.remove(segment.name);
    if (!removed.ok) return removed;
    dropped += next.first - segment.first;
  }
  return ok(dropped);
}

/** Whether the batch that follows a segment is old; then all of the segment is. */
async function startsBefore(
  files: Pick<LedgerFiles, 'read'>,
  next: Segment,
  beforeMs: number,
): Promise<Result<boolean>> {
  const head = await files.read(next.name, 0, FRAME_HEADER_BYTES);
  if (!head.ok) return head;
  const minTimeMs = decodeHeader(head.value)?.minTimeMs;
  return ok(minTimeMs !== undefined && minTimeMs < beforeMs);
}
