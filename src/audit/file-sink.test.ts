import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryFolder } from '../../test/support/state.ts';
import { type Result, unwrap } from '../base/result.ts';
import { createFileSink, probeFile } from './file-sink.ts';
import type { AuditLine } from './sink.ts';

const { signal } = new AbortController();
const line = (index: number): AuditLine => ({
  origin: 'o',
  index,
  timeMs: 0,
  text: JSON.stringify({ index }),
});
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

async function rig(context: TestContext) {
  const folder = await temporaryFolder(context);
  const path = join(folder, 'audit.jsonl');
  const sink = createFileSink(path);
  context.after(() => sink.close());
  return { folder, path, sink };
}

const texts = async (path: string) => (await readFile(path, 'utf8')).split('\n');

test('lines stand behind each other in a file that the owner alone reads', async (context) => {
  const { path, sink } = await rig(context);
  unwrap(await sink.deliver([line(0), line(1)], signal));
  unwrap(await sink.deliver([line(2)], signal));
  assert.deepEqual(await texts(path), ['{"index":0}', '{"index":1}', '{"index":2}', '']);
});

test('a file that was renamed keeps what it has, and the next lines are in a new one', async (context) => {
  const { folder, path, sink } = await rig(context);
  unwrap(await sink.deliver([line(0)], signal));
  await rename(path, join(folder, 'old'));
  unwrap(await sink.deliver([line(1)], signal));
  assert.deepEqual(await texts(join(folder, 'old')), ['{"index":0}', '']);
  assert.deepEqual(await texts(path), ['{"index":1}', '']);
});

test('after reopening, lines go to the path again, whatever became of the file', async (context) => {
  const { path, sink } = await rig(context);
  unwrap(await sink.deliver([line(0)], signal));
  await sink.reopen();
  await rm(path);
  unwrap(await sink.deliver([line(1)], signal));
  assert.deepEqual(await texts(path), ['{"index":1}', '']);
  await sink.reopen();
  unwrap(await sink.deliver([line(2)], signal));
  assert.deepEqual(await texts(path), ['{"index":1}', '{"index":2}', '']);
});

test('a line that a crash tore spoils no other', async (context) => {
  const { path, sink } = await rig(context);
  await writeFile(path, '{"index":0}\n{"ind');
  unwrap(await sink.deliver([line(1)], signal));
  assert.deepEqual(await texts(path), ['{"index":0}', '{"ind', '{"index":1}', '']);
  // Somebody else's torn line is ended too once the file is opened again.
  await appendFile(path, '{');
  await sink.reopen();
  unwrap(await sink.deliver([line(2)], signal));
  assert.equal((await texts(path)).at(-2), '{"index":2}');
});

test('a folder that is gone fails, and lines follow once it is back', async (context) => {
  const folder = join(await temporaryFolder(context), 'logs');
  await mkdir(folder);
  const sink = createFileSink(join(folder, 'a'));
  context.after(() => sink.close());
  unwrap(await sink.deliver([line(0)], signal));
  await rm(folder, { recursive: true });
  assert.equal(codeOf(await sink.deliver([line(1)], signal)), 'FILE_UNWRITABLE');
  await mkdir(folder);
  unwrap(await sink.deliver([line(1)], signal));
  assert.deepEqual(await texts(join(folder, 'a')), ['{"index":1}', '']);
});

test('a disk without space is told as such', async () => {
  const sink = createFileSink('/dev/full');
  assert.equal(codeOf(await sink.deliver([line(0)], signal)), 'DISK_FULL');
  await sink.close();
});

test('a path where no file can be refuses at the start', async (context) => {
  const folder = await temporaryFolder(context);
  for (const [path, code] of [
    [join(folder, 'new'), undefined],
    [join(folder, 'missing/new'), 'AUDIT_SETTINGS'],
    [folder, 'AUDIT_SETTINGS'],
    ['/dev/full', 'AUDIT_SETTINGS'],
  ] as const) {
    assert.equal(codeOf(await probeFile(path)), code, path);
  }
});
