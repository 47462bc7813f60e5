import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { toHex, utf8 } from '../base/bytes.ts';
import { ok, unwrap } from '../base/result.ts';
import { Frontier } from './frontier.ts';
import { EMPTY_ROOT, hashLeaf, hashNode } from './hash.ts';
import { proveConsistency, proveInclusion, type SubtreeSource, treeRoot } from './proof.ts';
import { verifyConsistency, verifyInclusion } from './verify.ts';

const VECTORS = join(sharedDir, 'vectors/merkle');

/** A case of the public vectors; inclusion and consistency share the rest of their form. */
interface Vector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[] | null;
  readonly desc: string;
  readonly wantErr: boolean;
}

function vectors(kind: string): readonly (readonly [string, Vector])[] {
  const folder = join(VECTORS, kind);
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.json'))
    .sort()
    .map((path) => [path, JSON.parse(readFileSync(join(folder, path), 'utf8')) as Vector]);
}

const decode = (text: string): Uint8Array => Buffer.from(text ?? '', 'base64');

describe('the public vectors', () => {
  test('98 inclusion proofs are judged as published', needsShared('vectors/merkle'), () => {
    const cases = vectors('inclusion');
    assert.equal(cases.length, 98);
    for (const [path, { leafIdx, treeSize, root, leafHash, proof, desc, wantErr }] of cases) {
      const verified = verifyInclusion(
        { index: leafIdx, size: treeSize, leafHash: decode(leafHash), root: decode(root) },
        (proof ?? []).map(decode),
      );
      assert.equal(verified.ok, !wantErr, `${path}: ${desc}`);
    }
  });

  test('98 consistency proofs are judged as published', needsShared('vectors/merkle'), () => {
    const cases = vectors('consistency');
    assert.equal(cases.length, 98);
    for (const [path, { size1, size2, root1, root2, proof, desc, wantErr }] of cases) {
      const verified = verifyConsistency(
        { oldSize: size1, newSize: size2, oldRoot: decode(root1), newRoot: decode(root2) },
        (proof ?? []).map(decode),
      );
      assert.equal(verified.ok, !wantErr, `${path}: ${desc}`);
    }
  });
});

/** MTH of RFC 6962 §2.1, word for word and slow. */
function referenceRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (first === undefined) return EMPTY_ROOT;
  if (leaves.length === 1) return first;
  let k = 1;
  while (2 * k < leaves.length) k *= 2;
  return hashNode(referenceRoot(leaves.slice(0, k)), referenceRoot(leaves.slice(k)));
}

const LEAVES = Array.from({ length: 70 }, (_, index) => hashLeaf(utf8(`leaf ${index}`)));

const source: SubtreeSource = async ({ level, index }) =>
  ok(referenceRoot(LEAVES.slice(index * 2 ** level, (index + 1) * 2 ** level)));

test('the empty tree has the root of RFC 6962 §2.1', () => {
  assert.equal(
    toHex(new Frontier().root()),
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  );
});

test('a leaf and a node of the same bytes have different hashes (RFC 6962 §2.1)', () => {
  const [a = EMPTY_ROOT, b = EMPTY_ROOT] = LEAVES;
  assert.notDeepEqual(hashLeaf(Buffer.concat([a, b])), hashNode(a, b));
});

test('a tree that grows leaf by leaf has the root of RFC 6962 at every size', async () => {
  const frontier = new Frontier();
  for (const [index, leaf] of LEAVES.entries()) {
    frontier.push(leaf);
    const expected = referenceRoot(LEAVES.slice(0, index + 1));
    assert.deepEqual(frontier.root(), expected, `size ${index + 1}`);
    assert.deepEqual(frontier.copy().root(), expected);
    assert.deepEqual(unwrap(await treeRoot(index + 1, source)), expected);
  }
});

test('a tree tells every subtree that a leaf completes, once, in its place', () => {
  const told = new Map<string, Uint8Array>();
  const frontier = new Frontier();
  for (const leaf of LEAVES.slice(0, 21)) {
    frontier.push(leaf, ({ level, index }, hash) => {
      assert.ok(!told.has(`${level}/${index}`));
      told.set(`${level}/${index}`, hash);
    });
  }
  assert.equal(told.size, 21 + 10 + 5 + 2 + 1);
  assert.deepEqual(told.get('2/3'), referenceRoot(LEAVES.slice(12, 16)));
});

test('every inclusion proof verifies, and for no other leaf, index or size', async () => {
  for (let size = 1; size <= 33; size++) {
    const root = referenceRoot(LEAVES.slice(0, size));
    for (let index = 0; index < size; index++) {
      const proof = unwrap(await proveInclusion(index, size, source));
      const leafHash = LEAVES[index]!;
      const claim = { index, size, leafHash, root };
      unwrap(verifyInclusion(claim, proof));
      const other = { ...claim, leafHash: LEAVES[index + 1]! };
      assert.equal(verifyInclusion(other, proof).ok, false);
      assert.equal(verifyInclusion({ ...claim, index: index + 1 }, proof).ok, false);
      assert.equal(verifyInclusion(claim, [...proof, root]).ok, false);
      if (proof.length > 0) assert.equal(verifyInclusion(claim, proof.slice(1)).ok, false);
    }
  }
});

test('every consistency proof verifies, and not with the roots of other sizes (I9)', async () => {
  const sizes = fc.integer({ min: 1, max: LEAVES.length - 1 });
  await fc.assert(
    fc.asyncProperty(sizes, sizes, async (a, b) => {
      const [oldSize, newSize] = a < b ? [a, b] : [b, a];
      const proof = unwrap(await proveConsistency(oldSize, newSize, source));
      const claim = {
        oldSize,
        newSize,
        oldRoot: referenceRoot(LEAVES.slice(0, oldSize)),
        newRoot: referenceRoot(LEAVES.slice(0, newSize)),
      };
      unwrap(verifyConsistency(claim, proof));
      const newRoot = referenceRoot(LEAVES.slice(0, newSize + 1));
      assert.equal(verifyConsistency({ ...claim, newRoot }, proof).ok, false);
      const oldRoot = referenceRoot(LEAVES.slice(1, oldSize + 1));
      assert.equal(verifyConsistency({ ...claim, oldRoot }, proof).ok, false);
      assert.equal(verifyConsistency(claim, [...proof, claim.newRoot]).ok, false);
    }),
  );
});

test('proofs are refused for what no tree has', async () => {
  for (const [index, size] of [
    [0, 0],
    [5, 5],
    [-1, 5],
    [0.5, 5],
  ] as const) {
    const proof = await proveInclusion(index, size, source);
    assert.equal(!proof.ok && proof.error.code, 'LEDGER_INDEX_RANGE');
  }
  const shrunk = await proveConsistency(6, 5, source);
  assert.equal(!shrunk.ok && shrunk.error.code, 'LEDGER_INDEX_RANGE');
});
