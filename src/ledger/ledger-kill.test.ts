import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeEntries, openTestLedger } from '../../test/support/ledger.ts';
import { run } from '../../test/support/processes.ts';
import { toHex } from '../base/bytes.ts';
import { ok, unwrap } from '../base/result.ts';
import { FileTree } from '../runtime/file-tree.ts';
import { treeRoot } from './proof.ts';
import { readEntries, subtreesIn } from './reader.ts';

const CHILD = join(import.meta.dirname, '../../test/support/ledger-child.ts');

test('kill -9 at every step on the disk loses no answered record and no checkpoint', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64');
  const signer = {
    algorithm: 'ed25519' as const,
    publicKeySpki: publicKey.export({ type: 'spki', format: 'der' }),
    sign: async (message: Uint8Array) => ok(sign(null, message, privateKey)),
  };
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  const files = new FileTree(folder);
  const heads = new Map<number, string>();
  try {
    // One ledger lives through all of the kills, so that each start finds what the last one left.
    for (let step = 1, lived = false; !lived; step++) {
      const { stdout, stderr } = await run(process.execPath, [CHILD, folder, pkcs8, `${step}`]);
      lived = stdout.includes('lived');
      assert.equal(stderr, '');
      const answered = [...stdout.matchAll(/^answered (\d+)$/gm)].map(([, size]) => Number(size));
      for (const [, size, root] of stdout.matchAll(/^head (\d+) (\w+)$/gm)) {
        assert.equal(heads.get(Number(size)) ?? root, root, 'one root for each size');
        heads.set(Number(size), root ?? '');
      }
      const ledger = unwrap(await openTestLedger({ files, signer }));
      const { size } = ledger;
      assert.ok(size >= Math.max(0, ...answered, ...heads.keys()), `step ${step}`);
      await ledger.close();
      await files.close();
      for (const [covered, root] of heads) {
        if (covered === 0) continue;
        const now = unwrap(await treeRoot(covered, subtreesIn(files)));
        assert.equal(toHex(now), root, `step ${step}, the tree of ${covered}`);
      }
      const texts: string[] = [];
      unwrap(await readEntries(files, { first: 0, end: size }, (entry) => texts.push(`${entry}`)));
      assert.deepEqual(
        texts,
        makeEntries(0, size).map(({ bytes }) => `${bytes}`),
      );
    }
    assert.ok(heads.size > 10);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
