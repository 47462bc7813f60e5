import assert from 'node:assert/strict';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBack } from '../../test/support/audit.ts';
import { makeEntries, makeNoteSigner, openTestLedger } from '../../test/support/ledger.ts';
import { run } from '../../test/support/processes.ts';
import { temporaryFolder } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { FileTree } from '../runtime/file-tree.ts';

const CHILD = join(import.meta.dirname, '../../test/support/audit-child.ts');

test('kill -9 between delivery and cursor brings records twice at worst, and loses none', async (context) => {
  const folder = await temporaryFolder(context);
  const files = new FileTree(folder);
  context.after(() => files.close());
  const signer = makeNoteSigner();
  const path = join(folder, 'audit.jsonl');
  let doubles = 0;
  // One file lives through all of the kills, and new records come in between.
  for (let step = 1, lived = false; !lived; step++) {
    const ledger = unwrap(await openTestLedger({ files, signer }));
    unwrap(await ledger.append(makeEntries(ledger.size, 10)));
    await ledger.close();
    const { stdout, stderr } = await run(process.execPath, [CHILD, folder, `${1 + (step % 6)}`]);
    assert.equal(stderr, '');
    // A kill in the middle of a write leaves a part of a line.
    if (step % 2 === 0) await appendFile(path, '{"origin":"exa');
    lived = step > 20;
    if (lived) {
      const last = await run(process.execPath, [CHILD, folder, '0']);
      assert.equal(last.stdout, 'lived');
    } else assert.equal(stdout, '');
    const seen = new Set<number>();
    let next = 0;
    doubles = 0;
    for (const text of (await readFile(path, 'utf8').catch(() => '')).split('\n')) {
      if (!text.endsWith('}')) continue;
      const { index, record } = readBack(text);
      assert.equal(record?.record, index);
      if (seen.has(index)) doubles += 1;
      else {
        assert.equal(index, next, `step ${step}: what is new follows what was there`);
        next += 1;
      }
      seen.add(index);
    }
    if (lived) assert.equal(next, ledger.size);
  }
  assert.ok(doubles > 0, 'a kill hit between delivery and cursor');
});
