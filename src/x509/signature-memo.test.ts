import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeIntermediate, makeKey, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { validatePath } from './path.ts';
import { toKeyObject } from './public-key.ts';
import { createSignatureMemo } from './signature-memo.ts';

const root = makeRoot();
const issuing = makeIntermediate(root);
const leaves = [makeLeaf(issuing), makeLeaf(issuing), makeLeaf(issuing)] as const;
const [first, second, third] = leaves.map(({ certificate }) => certificate) as [
  typeof root.certificate,
  typeof root.certificate,
  typeof root.certificate,
];
const signer = issuing.certificate;
const atMs = Date.UTC(2030, 0, 1);

describe('a memory for signatures', () => {
  test('knows what was added, by bytes and key, and nothing else', () => {
    const memo = createSignatureMemo(10);
    memo.add(first, signer);
    assert.equal(memo.has(first, signer), true);
    assert.equal(memo.has({ der: Uint8Array.from(first.der) }, signer), true);
    assert.equal(memo.has(second, signer), false);
    assert.equal(memo.has(first, root.certificate), false);
    assert.equal(memo.has({ der: first.der.subarray(1) }, signer), false);
  });

  for (const [size, kept] of [
    [1, [false, false, true]],
    [2, [false, true, true]],
    [3, [true, true, true]],
    [4, [true, true, true]],
  ] as const) {
    test(`of ${size} keeps the last ${size}`, () => {
      const memo = createSignatureMemo(size);
      for (const { certificate } of leaves) memo.add(certificate, signer);
      assert.equal(memo.size, Math.min(size, 3));
      assert.deepEqual(
        leaves.map(({ certificate }) => memo.has(certificate, signer)),
        kept,
      );
    });
  }

  test('forgets what was used longest ago', () => {
    const memo = createSignatureMemo(2);
    memo.add(first, signer);
    memo.add(second, signer);
    memo.has(first, signer);
    memo.add(third, signer);
    assert.deepEqual([memo.has(first, signer), memo.has(second, signer)], [true, false]);
  });

  test('adding twice is adding once', () => {
    const memo = createSignatureMemo(2);
    memo.add(first, signer);
    memo.add(first, signer);
    assert.equal(memo.size, 1);
  });
});

describe('a path that is validated with a memory', () => {
  const request = { chain: [first, signer], roots: [root.certificate], atMs };

  test('adds its signatures, and needs them no second time', () => {
    const signatures = createSignatureMemo(10);
    assertValue(validatePath({ ...request, signatures }));
    assert.equal(signatures.size, 2);
    // The key that is asked cannot verify anything: only the memory can have answered.
    const keyObject = assertValue(toKeyObject(makeKey().publicKey));
    const blind = { ...signer, publicKey: { ...signer.publicKey, keyObject } };
    const chain = [first, blind];
    assertRefused(validatePath({ ...request, chain }), 'PATH_SIGNATURE');
    assertValue(validatePath({ ...request, chain, signatures }));
  });

  test('adds nothing where it is refused', () => {
    const signatures = createSignatureMemo(10);
    const roots = [makeRoot().certificate];
    assertRefused(validatePath({ ...request, roots, signatures }), 'PATH_NOT_FOUND');
    assert.equal(signatures.size, 0);
  });
});
