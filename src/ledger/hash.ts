import { hash } from 'node:crypto';

/** Length of every hash of the tree, in bytes (SHA-256). */
export const HASH_BYTES = 32;

/** Root of the tree without leaves (RFC 6962 §2.1). */
export const EMPTY_ROOT: Uint8Array = hash('sha256', '', 'buffer');

const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

const node = Buffer.alloc(1 + 2 * HASH_BYTES);
let leaf = Buffer.alloc(1024);

/** Hash of a leaf (RFC 6962 §2.1): the prefix keeps a leaf from passing for a node. */
export function hashLeaf(entry: Uint8Array): Uint8Array {
  if (leaf.length <= entry.length) leaf = Buffer.alloc(entry.length + 1);
  leaf[0] = LEAF_PREFIX;
  leaf.set(entry, 1);
  return hash('sha256', leaf.subarray(0, entry.length + 1), 'buffer');
}

/** Hash of the node above two (RFC 6962 §2.1). */
export function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  node[0] = NODE_PREFIX;
  node.set(left, 1);
  node.set(right, 1 + HASH_BYTES);
  return hash('sha256', node, 'buffer');
}

/** The `index`-th hash of hashes that lie side by side. */
export function hashAt(hashes: Uint8Array, index: number): Uint8Array {
  return hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
}

/** Root of a complete subtree over hashes that lie side by side; their number is a power of two. */
export function foldComplete(hashes: Uint8Array): Uint8Array {
  let level = Buffer.from(hashes);
  while (level.length > HASH_BYTES) {
    const above = Buffer.alloc(level.length / 2);
    for (let index = 0; index * HASH_BYTES < above.length; index++) {
      above.set(
        hashNode(hashAt(level, 2 * index), hashAt(level, 2 * index + 1)),
        index * HASH_BYTES,
      );
    }
    level = above;
  }
  return level;
}
