import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { utf8 } from '../base/bytes.ts';
import { type Result, unwrap } from '../base/result.ts';
import { FileTree } from './file-tree.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
const tree = new FileTree(folder);
after(async () => {
  await tree.close();
  rmSync(folder, { recursive: true, force: true });
});

const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);
const text = async (name: string, offset = 0, length = 100): Promise<string> =>
  `${Buffer.from(unwrap(await tree.read(name, offset, length)))}`;

test('what was written is read back by position, however it was written', async () => {
  unwrap(await tree.create('a/b/log'));
  assert.equal(unwrap(await tree.size('a/b/log')), 0);
  unwrap(await tree.writeDurably('a/b/log', 0, utf8('hello')));
  unwrap(await tree.write('a/b/log', 5, utf8(' world')));
  unwrap(await tree.sync('a/b/log'));
  assert.equal(await text('a/b/log'), 'hello world');
  assert.equal(await text('a/b/log', 6, 3), 'wor');
  assert.equal(await text('a/b/log', 100), '');
  unwrap(await tree.truncate('a/b/log', 5));
  assert.equal(await text('a/b/log'), 'hello');
  unwrap(await tree.replace('a/c/small', utf8('new')));
  assert.equal(await text('a/c/small'), 'new');
  assert.deepEqual(unwrap(await tree.list('a')), ['b', 'c']);
  assert.equal(statSync(join(folder, 'a/b/log')).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, 'a/b')).mode & 0o777, 0o700);
});

test('what is not there is empty, absent or gone, and no refusal', async () => {
  assert.deepEqual(unwrap(await tree.list('none')), []);
  assert.equal(unwrap(await tree.size('none')), undefined);
  assert.equal(await text('none'), '');
  unwrap(await tree.write('gone', 0, utf8('x')));
  unwrap(await tree.remove('gone'));
  unwrap(await tree.remove('gone'));
  assert.equal(unwrap(await tree.size('gone')), undefined);
});

test('more files than stay open are written all the same', async () => {
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < 100; at++) {
      unwrap(await tree.writeDurably(`many/${at}`, round, utf8(`${round}`)));
    }
  }
  assert.equal(await text('many/0'), '01');
  const descriptors = readdirSync('/proc/self/fd').length;
  assert.ok(descriptors < 100, `${descriptors} descriptors`);
});

test('a link, a folder and a file where a folder should be are refused with a code', async () => {
  writeFileSync(join(folder, 'file'), '');
  symlinkSync(join(folder, 'file'), join(folder, 'link'));
  assert.equal(codeOf(await tree.write('link', 0, utf8('x'))), 'FILE_UNWRITABLE');
  assert.equal(codeOf(await tree.writeDurably('a', 0, utf8('x'))), 'FILE_UNWRITABLE');
  assert.equal(codeOf(await tree.create('file/below')), 'FILE_UNWRITABLE');
  assert.equal(codeOf(await tree.read('a', 0, 10)), 'FILE_UNREADABLE');
  assert.equal(codeOf(await tree.list('file')), 'FILE_UNREADABLE');
});
