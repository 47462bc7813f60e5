import { EMPTY_ROOT, hashNode } from './hash.ts';

/** A complete subtree: `2 ** level` leaves, the `index`-th of its size. */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** The complete subtrees that leaves `[0, size)` fall into, largest first: one for each bit. */
export function subtreesOf(size: number): readonly Subtree[] {
  return subtreesOfRange(0, size);
}

/**
 * The complete subtrees that leaves `[start, end)` fall into, from the left, where `start` is a
 * multiple of the largest power of two that fits (as for every right half of RFC 6962 §2.1).
 */
export function subtreesOfRange(start: number, end: number): readonly Subtree[] {
  const subtrees: Subtree[] = [];
  for (let at = start; at < end; ) {
    const level = Math.floor(Math.log2(end - at));
    subtrees.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return subtrees;
}

/** Root over subtrees that stand side by side, from the left; the empty tree's where there is none. */
export function joinSubtrees(hashes: readonly Uint8Array[]): Uint8Array {
  const last = hashes.at(-1);
  if (last === undefined) return EMPTY_ROOT;
  return hashes.slice(0, -1).reduceRight((right, left) => hashNode(left, right), last);
}

/**
 * The right edge of a growing tree: the roots of its complete subtrees, largest first, at most one
 * for each bit of its size. All that has to be in memory to append and to tell the root.
 */
export class Frontier {
  #size: number;
  readonly #hashes: Uint8Array[];

  /** An empty tree, or one whose {@link subtreesOf} have these hashes. */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    this.#size = size;
    this.#hashes = [...hashes];
  }

  /** Number of leaves. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds a leaf. `onComplete` is told of every subtree that it completes, the leaf itself first.
   */
  push(leafHash: Uint8Array, onComplete?: (subtree: Subtree, hash: Uint8Array) => void): void {
    let hash = leafHash;
    let index = this.#size;
    onComplete?.({ level: 0, index }, hash);
    for (let level = 1; index % 2 === 1; level++) {
      hash = hashNode(this.#hashes.pop() ?? hash, hash);
      index = (index - 1) / 2;
      onComplete?.({ level, index }, hash);
    }
    this.#hashes.push(hash);
    this.#size += 1;
  }

  /** Root of the tree as it is now. */
  root(): Uint8Array {
    return joinSubtrees(this.#hashes);
  }

  /** The same edge once more, to grow on its own. */
  copy(): Frontier {
    return new Frontier(this.#size, this.#hashes);
  }
}
