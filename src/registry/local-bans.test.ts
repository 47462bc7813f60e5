import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { id, temporaryFolder } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { LocalBans, openLocalBans } from './local-bans.ts';

const A = id('/spire/agent/a');
const B = id('/spire/agent/b');

const uris = (bans: LocalBans): readonly string[] => bans.ids().map(({ uri }) => uri);

test('no file is no bans', async (context) => {
  const path = join(await temporaryFolder(context), 'local-bans');
  assert.equal(unwrap(await openLocalBans(path)).size, 0);
});

test('what was saved is there after a restart; what was removed is not', async (context) => {
  const path = join(await temporaryFolder(context), 'local-bans');
  const bans = unwrap(await openLocalBans(path));
  bans.add(A);
  bans.add(B);
  bans.add(A);
  assert.deepEqual([bans.has(A.uri), bans.unsaved], [true, true], 'in force before it is durable');
  unwrap(await bans.save());
  assert.equal(bans.unsaved, false);
  assert.deepEqual(uris(unwrap(await openLocalBans(path))), [A.uri, B.uri]);
  bans.remove(A.uri);
  unwrap(await bans.save());
  assert.deepEqual(uris(unwrap(await openLocalBans(path))), [B.uri]);
});

test('bans at once are all saved', async (context) => {
  const path = join(await temporaryFolder(context), 'local-bans');
  const bans = unwrap(await openLocalBans(path));
  const ids = Array.from({ length: 20 }, (_, index) => id(`/spire/agent/a${index}`));
  const saved = ids.map((agent) => {
    bans.add(agent);
    return bans.save();
  });
  for (const result of await Promise.all(saved)) unwrap(result);
  assert.equal(unwrap(await openLocalBans(path)).size, 20);
});

test('a save that fails leaves the bans in force and the file to be written', async (context) => {
  const folder = join(await temporaryFolder(context), 'gone');
  const bans = new LocalBans(join(folder, 'local-bans'), []);
  bans.add(A);
  const failed = await bans.save();
  assert.equal(failed.ok ? 'OK' : failed.error.code, 'FILE_UNWRITABLE');
  assert.deepEqual([bans.has(A.uri), bans.unsaved], [true, true]);
  mkdirSync(folder);
  unwrap(await bans.save());
  assert.equal(bans.unsaved, false);
});

const whole = `signet-local-bans 1\n${A.uri}\n`;
const damaged: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['cut in its last line', whole.slice(0, -1)],
  ['of another version', whole.replace('1', '2')],
  ['without its first line', `${A.uri}\n`],
  ['with a line that is no SPIFFE ID', `${whole}spiffe://example.org/../x\n`],
  ['with an empty line', `${whole}\n`],
  ['with a byte that is not text', `${whole}spiffe://example.org/\ufffd\n`],
];
for (const [name, text] of damaged) {
  test(`a file that is ${name} is refused, and left as it is`, async (context) => {
    const path = join(await temporaryFolder(context), 'local-bans');
    writeFileSync(path, whole);
    assert.equal(unwrap(await openLocalBans(path)).size, 1);
    writeFileSync(path, text);
    const opened = await openLocalBans(path);
    assert.equal(opened.ok ? 'OK' : opened.error.code, 'LOCAL_BANS_DAMAGED');
    assert.equal(readFileSync(path, 'utf8'), text);
  });
}

test('a folder in the place of the file is refused', async (context) => {
  const path = join(await temporaryFolder(context), 'local-bans');
  mkdirSync(path);
  const opened = await openLocalBans(path);
  assert.equal(opened.ok ? 'OK' : opened.error.code, 'FILE_UNREADABLE');
  rmSync(path, { recursive: true });
});
