import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readFileIfPresent, writeFailure, writeFileAtomic } from './atomic-file.ts';

const scratch = () => mkdtemp(join(tmpdir(), 'signet-file-'));

test('SPI-01-002 a written file is 0600 unless told otherwise, whatever the umask', async () => {
  const dir = await scratch();
  const before = process.umask(0);
  try {
    assert.ok((await writeFileAtomic(join(dir, 'a'), Buffer.from('one'))).ok);
    process.umask(0o077);
    assert.ok((await writeFileAtomic(join(dir, 'b'), Buffer.from('two'), { mode: 0o644 })).ok);
  } finally {
    process.umask(before);
  }
  assert.equal(statSync(join(dir, 'a')).mode & 0o777, 0o600);
  assert.equal(statSync(join(dir, 'b')).mode & 0o777, 0o644);
});

test('writing replaces the file as a whole and leaves nothing else', async () => {
  const dir = await scratch();
  const path = join(dir, 'a');
  writeFileSync(path, 'a much longer text than the new one');
  await Promise.all([
    writeFileAtomic(path, Buffer.from('one')),
    writeFileAtomic(path, Buffer.from('two')),
  ]);
  assert.match(readFileSync(path, 'utf8'), /^(one|two)$/);
  assert.deepEqual(readdirSync(dir), ['a']);
});

test('a failed write answers FILE_UNWRITABLE and leaves the old file', async () => {
  const dir = await scratch();
  const missing = await writeFileAtomic(join(dir, 'none', 'a'), Buffer.from('x'));
  assert.equal(missing.ok ? '' : missing.error.code, 'FILE_UNWRITABLE');
  mkdirSync(join(dir, 'folder', 'inside'), { recursive: true });
  const folder = await writeFileAtomic(join(dir, 'folder'), Buffer.from('x'));
  assert.equal(folder.ok ? '' : folder.error.code, 'FILE_UNWRITABLE');
  assert.deepEqual(readdirSync(dir), ['folder']);
});

test('A13 no space left answers DISK_FULL', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const failed = writeFailure('/x', Object.assign(new TypeError('full'), { code }));
    assert.equal(failed.error.code, 'DISK_FULL');
  }
});

const FULL_DISK = `
  const { writeFileAtomic } = await import(${JSON.stringify(new URL('./atomic-file.ts', import.meta.url).href)});
  const { readFileSync, readdirSync } = await import('node:fs');
  const [dir] = process.argv.slice(-1);
  const old = await writeFileAtomic(dir + '/keys', Buffer.from('old'));
  const failed = await writeFileAtomic(dir + '/keys', Buffer.alloc(1 << 20));
  process.stdout.write(JSON.stringify([old.ok, failed.ok ? 'ok' : failed.error.code,
    readFileSync(dir + '/keys', 'utf8'), readdirSync(dir)]));`;

test('A13 on a full disk the old file stays whole and nothing else is left', async (t) => {
  const dir = await scratch();
  const script =
    'mount -t tmpfs -o size=64k none "$1" && exec "$2" --input-type=module -e "$3" "$1"';
  const args = ['-rm', 'sh', '-c', script, 'sh', dir, process.execPath, FULL_DISK];
  const run = spawnSync('unshare', args, { encoding: 'utf8' });
  if (run.status !== 0 && /unshare|mount/.test(run.stderr ?? 'unshare')) {
    t.skip('no right to mount a small file system here');
    return;
  }
  assert.deepEqual(JSON.parse(run.stdout), [true, 'DISK_FULL', 'old', ['keys']]);
});

test('reading: absent is undefined; the limit holds at n-1, n and n+1', async () => {
  const dir = await scratch();
  const absent = await readFileIfPresent(join(dir, 'none'), 10);
  assert.deepEqual(absent, { ok: true, value: undefined });
  for (const [size, fits] of [
    [9, true],
    [10, true],
    [11, false],
  ] as const) {
    writeFileSync(join(dir, 'a'), Buffer.alloc(size, 7));
    const read = await readFileIfPresent(join(dir, 'a'), 10);
    assert.equal(read.ok, fits);
    if (read.ok) assert.equal(read.value?.length, size);
  }
});
