import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Checkpoint } from './checkpoint.ts';
import { Frontier, subtreesOf } from './frontier.ts';
import { hashLeaf } from './hash.ts';
import { readSubtree } from './hash-files.ts';
import { type Frame, listSegments } from './log-scan.ts';
import { type ReadableFiles, scanFrames } from './reader.ts';
import { decodeRecord } from './record.ts';

/** What {@link auditLedger} went through. */
export interface AuditReport {
  /** First record whose body is still there. */
  readonly first: number;
  /** Number of records that were read, hashed and decoded. */
  readonly records: number;
}

/**
 * Reads every record that is there, hashes it into a tree of its own and compares the root with a
 * checkpoint's; records whose bodies were dropped come in with the hashes that were kept. Fails with
 * LEDGER_CORRUPT, LEDGER_RECORD_INVALID, LEDGER_ROLLED_BACK or LEDGER_FORKED.
 */
export async function auditLedger(
  files: ReadableFiles,
  checkpoint: Checkpoint,
): Promise<Result<AuditReport>> {
  const segments = await listSegments(files);
  if (!segments.ok) return segments;
  const first = Math.min(segments.value[0]?.first ?? 0, checkpoint.size);
  const frontier = await frontierAt(files, first);
  if (!frontier.ok) return frontier;
  const tree = frontier.value;
  let refusal: Result<void> = ok(undefined);
  const onFrame = (frame: Frame): boolean => {
    for (const entry of frame.entries()) {
      if (tree.size === checkpoint.size) return false;
      const record = decodeRecord(entry);
      if (!record.ok) {
        refusal = record;
        return false;
      }
      tree.push(hashLeaf(entry));
    }
    return true;
  };
  const scanned = await scanFrames(files, first, onFrame);
  if (!scanned.ok) return scanned;
  if (!refusal.ok) return refusal;
  if (tree.size < checkpoint.size) {
    const what = `the log has ${tree.size} records, the checkpoint covers ${checkpoint.size}`;
    return fail('LEDGER_ROLLED_BACK', what);
  }
  if (!equalBytes(tree.root(), checkpoint.root)) {
    return fail('LEDGER_FORKED', 'the records do not lead to the root of the checkpoint');
  }
  // The proofs that readers get come from the hash files: these must say the same.
  const stored = await frontierAt(files, checkpoint.size);
  if (!stored.ok) return stored;
  if (!equalBytes(stored.value.root(), checkpoint.root)) {
    return fail('LEDGER_CORRUPT', 'the hash files do not lead to the root of the checkpoint');
  }
  return ok({ first, records: checkpoint.size - first });
}

async function frontierAt(files: ReadableFiles, size: number): Promise<Result<Frontier>> {
  const hashes: Uint8Array[] = [];
  for (const subtree of subtreesOf(size)) {
    const hash = await readSubtree(files, subtree);
    if (!hash.ok) return hash;
    hashes.push(hash.value);
  }
  return ok(new Frontier(size, hashes));
}
