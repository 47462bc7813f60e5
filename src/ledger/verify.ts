import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { HASH_BYTES, hashNode } from './hash.ts';

/** That a leaf is in a tree. */
export interface InclusionClaim {
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  readonly root: Uint8Array;
}

/** That a tree grew into another by appending alone. */
export interface ConsistencyClaim {
  readonly oldSize: number;
  readonly newSize: number;
  readonly oldRoot: Uint8Array;
  readonly newRoot: Uint8Array;
}

/** Checks an inclusion proof (RFC 9162 §2.1.3.2); fails with LEDGER_PROOF_INVALID. */
export function verifyInclusion(claim: InclusionClaim, proof: readonly Uint8Array[]): Result<void> {
  const { index, size, leafHash, root } = claim;
  if (!isCount(index) || !isCount(size) || index >= size)
    return invalid('names no leaf of the tree');
  if (![leafHash, root, ...proof].every(isHash)) return invalid('holds something that is no hash');
  let at = index;
  let last = size - 1;
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return invalid('is too long');
    if (at % 2 === 1 || at === last) {
      hash = hashNode(sibling, hash);
      // A left edge of the right border has no sibling on the levels that are skipped here.
      while (at % 2 === 0 && at !== 0) {
        at /= 2;
        last = half(last);
      }
    } else {
      hash = hashNode(hash, sibling);
    }
    at = half(at);
    last = half(last);
  }
  if (last !== 0) return invalid('is too short');
  return equalBytes(hash, root) ? ok(undefined) : invalid('leads to another root');
}

/** Checks a consistency proof (RFC 9162 §2.1.4.2); fails with LEDGER_PROOF_INVALID. */
export function verifyConsistency(
  claim: ConsistencyClaim,
  proof: readonly Uint8Array[],
): Result<void> {
  const { oldSize, newSize, oldRoot, newRoot } = claim;
  if (!isCount(oldSize) || !isCount(newSize) || oldSize > newSize) {
    return invalid('is between sizes that cannot follow each other');
  }
  // Every tree follows from the empty one: a proof of it would prove nothing.
  if (oldSize === 0) return invalid('is from an empty tree, which says nothing');
  if (oldSize === newSize) {
    if (proof.length > 0) return invalid('is too long');
    return equalBytes(oldRoot, newRoot) ? ok(undefined) : invalid('is between different roots');
  }
  if (![oldRoot, newRoot, ...proof].every(isHash))
    return invalid('holds something that is no hash');
  return walkConsistency(claim, proof);
}

function walkConsistency(claim: ConsistencyClaim, proof: readonly Uint8Array[]): Result<void> {
  const { oldSize, newSize, oldRoot, newRoot } = claim;
  // A complete old tree is itself the first node, and is left out of the proof.
  const nodes = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof;
  const [first, ...rest] = nodes;
  if (first === undefined) return invalid('is too short');
  let at = oldSize - 1;
  let last = newSize - 1;
  while (at % 2 === 1) {
    at = half(at);
    last = half(last);
  }
  let oldHash = first;
  let newHash = first;
  for (const node of rest) {
    if (last === 0) return invalid('is too long');
    if (at % 2 === 1 || at === last) {
      oldHash = hashNode(node, oldHash);
      newHash = hashNode(node, newHash);
      while (at % 2 === 0 && at !== 0) {
        at = half(at);
        last = half(last);
      }
    } else {
      newHash = hashNode(newHash, node);
    }
    at = half(at);
    last = half(last);
  }
  if (last !== 0) return invalid('is too short');
  if (!equalBytes(oldHash, oldRoot)) return invalid('leads to another old root');
  return equalBytes(newHash, newRoot) ? ok(undefined) : invalid('leads to another new root');
}

/** Sizes may pass 2^32, so no bit operators. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isPowerOfTwo(value: number): boolean {
  return 2 ** Math.floor(Math.log2(value)) === value;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES;
}

function invalid(what: string): Result<never> {
  return fail('LEDGER_PROOF_INVALID', `the proof ${what}`);
}
