import { fail, ok, type Result } from '../base/result.ts';
import { joinSubtrees, type Subtree, subtreesOfRange } from './frontier.ts';

/** Where the roots of complete subtrees come from. */
export type SubtreeSource = (subtree: Subtree) => Promise<Result<Uint8Array>>;

/** Leaves `[start, end)`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** Root of the tree of the first `size` leaves. */
export function treeRoot(size: number, source: SubtreeSource): Promise<Result<Uint8Array>> {
  return rangeRoot({ start: 0, end: size }, source);
}

/**
 * Proof that leaf `index` is in the tree of the first `size` leaves: PATH of RFC 6962 §2.1.1. Fails
 * with LEDGER_INDEX_RANGE.
 */
export async function proveInclusion(
  index: number,
  size: number,
  source: SubtreeSource,
): Promise<Result<readonly Uint8Array[]>> {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    return fail('LEDGER_INDEX_RANGE', `record ${index} is not in a tree of ${size}`);
  }
  const siblings: Range[] = [];
  let at: Range = { start: 0, end: size };
  while (at.end - at.start > 1) {
    const middle = split(at);
    const inLeft = index < middle;
    siblings.push(inLeft ? { start: middle, end: at.end } : { start: at.start, end: middle });
    at = inLeft ? { start: at.start, end: middle } : { start: middle, end: at.end };
  }
  return rangeRoots(siblings.reverse(), source);
}

/**
 * Proof that the tree of the first `oldSize` leaves grew into that of `newSize`: PROOF of RFC 6962
 * §2.1.2. Empty where one of them is empty or both are the same. Fails with LEDGER_INDEX_RANGE.
 */
export async function proveConsistency(
  oldSize: number,
  newSize: number,
  source: SubtreeSource,
): Promise<Result<readonly Uint8Array[]>> {
  if (!Number.isSafeInteger(oldSize) || oldSize < 0 || oldSize > newSize) {
    return fail('LEDGER_INDEX_RANGE', `no tree of ${newSize} grew out of one of ${oldSize}`);
  }
  if (oldSize === 0 || oldSize === newSize) return ok([]);
  const nodes: Range[] = [];
  let at: Range = { start: 0, end: newSize };
  while (oldSize !== at.end) {
    const middle = split(at);
    const inLeft = oldSize <= middle;
    nodes.push(inLeft ? { start: middle, end: at.end } : { start: at.start, end: middle });
    at = inLeft ? { start: at.start, end: middle } : { start: middle, end: at.end };
  }
  // The old tree itself is what the verifier has.
  if (at.start > 0) nodes.push(at);
  return rangeRoots(nodes.reverse(), source);
}

/** Where RFC 6962 §2.1 splits: the largest power of two less than the number of leaves. */
function split({ start, end }: Range): number {
  return start + 2 ** (Math.ceil(Math.log2(end - start)) - 1);
}

async function rangeRoots(
  ranges: readonly Range[],
  source: SubtreeSource,
): Promise<Result<readonly Uint8Array[]>> {
  const roots: Uint8Array[] = [];
  for (const range of ranges) {
    const root = await rangeRoot(range, source);
    if (!root.ok) return root;
    roots.push(root.value);
  }
  return ok(roots);
}

async function rangeRoot(range: Range, source: SubtreeSource): Promise<Result<Uint8Array>> {
  const hashes: Uint8Array[] = [];
  for (const subtree of subtreesOfRange(range.start, range.end)) {
    const hash = await source(subtree);
    if (!hash.ok) return hash;
    hashes.push(hash.value);
  }
  return ok(joinSubtrees(hashes));
}
