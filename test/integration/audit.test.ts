import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { readVerifier } from '../../src/ledger/reader.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { startServer } from '../../src/server/server.ts';
import { startFakeLoki } from '../support/fake-loki.ts';
import { startFakeWitness } from '../support/fake-witness.ts';
import { testConfig } from '../support/server.ts';
import { temporaryFolder } from '../support/state.ts';

/** Lines of an audit file so far; waits until there are enough. */
async function linesOf(path: string, count: number): Promise<readonly string[]> {
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((each) => each !== '');
    if (lines.length >= count) return lines;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const kindOf = (line: string): string =>
  (JSON.parse(line) as { record: { kind: string } }).record.kind;

test('a server copies its records to every sink, across a rename and a restart, and starts without them', async (context) => {
  const folder = await temporaryFolder(context);
  const path = join(folder, 'audit.jsonl');
  const loki = await startFakeLoki();
  context.after(() => loki.close());
  const settings = {
    ledger: { checkpointInterval: '100ms', copy: { enabled: true } },
    audit: {
      sinks: [
        { name: 'file', type: 'file', file: { path } },
        { name: 'loki', type: 'loki', loki: { url: loki.url } },
        // Nobody listens there: the server starts and signs all the same.
        { name: 'away', type: 'loki', loki: { url: 'http://127.0.0.1:1' } },
      ],
    },
  };
  const config = testConfig(folder, settings);
  const server = unwrap(await startServer(config));
  const first = await linesOf(path, 2);
  assert.deepEqual(first.map(kindOf).slice(0, 2), ['ca', 'x509']);
  await rename(path, `${path}.1`);
  unwrap(server.reload(config));
  await server.stop('test');
  const again = unwrap(await startServer(config));
  const [next = ''] = await linesOf(path, 1);
  assert.equal(kindOf(next), 'x509');
  const { index } = JSON.parse(next) as { index: number };
  assert.equal(index, first.length, 'nothing twice, nothing left out');
  await again.stop('test');
  const pushed = loki.pushes.flatMap(({ values }) => values.map(([, text]) => text));
  assert.deepEqual(pushed.slice(0, first.length), first);
});

test('sinks without a ledger are refused by the configuration', async (context) => {
  const folder = await temporaryFolder(context);
  const sinks = [{ name: 'out', type: 'stdout' }];
  assert.throws(() => testConfig(folder, { ledger: { enabled: false }, audit: { sinks } }));
});

test('a server whose whole data directory is an older copy is refused by its witness', async (context) => {
  const folder = await temporaryFolder(context);
  const dataDir = join(folder, 'data');
  const files = new FileTree(dataDir);
  context.after(() => files.close());
  const plain = unwrap(await startServer(testConfig(folder, {})));
  await plain.stop('test');
  const key = unwrap(await readVerifier(files));
  const witness = await startFakeWitness('one.example/w', () => key);
  context.after(() => witness.close());
  const witnesses = [{ url: witness.url, key: witness.key }];
  const config = testConfig(folder, { ledger: { witnesses } });
  const server = unwrap(await startServer(config));
  await server.stop('test');
  assert.ok((witness.last?.size ?? 0) > 0);
  witness.last = { size: 1_000_000, root: new Uint8Array(32) };
  const refused = await startServer(config);
  assert.equal(refused.ok ? 'started' : refused.error.code, 'LEDGER_ROLLED_BACK');
});
