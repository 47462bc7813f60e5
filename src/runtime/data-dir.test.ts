import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { openDataDir } from './data-dir.ts';

const scratch = () => mkdtemp(join(tmpdir(), 'signet-data-'));

async function codeOf(path: string): Promise<string> {
  const opened = await openDataDir(path);
  if (opened.ok) opened.value.release();
  return opened.ok ? 'ok' : opened.error.code;
}

test('a data directory is made 0700 with its parents', async () => {
  const path = join(await scratch(), 'a', 'b');
  const opened = await openDataDir(path);
  assert.ok(opened.ok);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(join(path, 'lock')).mode & 0o777, 0o600);
  opened.value.release();
});

for (const [mode, code] of [
  [0o700, 'ok'],
  [0o755, 'ok'],
  [0o720, 'DATA_DIR_UNSAFE'],
  [0o702, 'DATA_DIR_UNSAFE'],
  [0o777, 'DATA_DIR_UNSAFE'],
] as const) {
  test(`a data directory of mode ${mode.toString(8)}: ${code}`, async () => {
    const path = join(await scratch(), 'data');
    mkdirSync(path);
    chmodSync(path, mode);
    assert.equal(await codeOf(path), code);
  });
}

test("another user's data directory is refused", {
  skip: process.geteuid?.() === 0 ? false : 'needs root to give a directory away',
}, async () => {
  const path = join(await scratch(), 'data');
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, 12345, 12345);
  assert.equal(await codeOf(path), 'DATA_DIR_UNSAFE');
});

test('a file in the place of the directory is refused', async () => {
  const path = join(await scratch(), 'data');
  writeFileSync(path, '');
  assert.equal(await codeOf(path), 'DATA_DIR_UNUSABLE');
});

test('A5 a second opener of the same directory is refused until the first lets go', async () => {
  const path = await scratch();
  const first = await openDataDir(path);
  assert.ok(first.ok);
  const second = await openDataDir(path);
  assert.ok(!second.ok);
  assert.equal(second.error.code, 'DATA_DIR_LOCKED');
  assert.ok(second.error.message.includes(`process ${process.pid}`));
  first.value.release();
  first.value.release();
  assert.equal(await codeOf(path), 'ok');
});

test('A5 a process killed with -9 leaves no lock behind', async () => {
  const path = await scratch();
  const module = new URL('./data-dir.ts', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { openDataDir } = await import(${JSON.stringify(module)});
       const opened = await openDataDir(${JSON.stringify(path)});
       process.stdout.write(opened.ok ? 'held\\n' : opened.error.code + '\\n');
       setInterval(() => {}, 1e6);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = await once(createInterface(child.stdout), 'line');
  assert.equal(line, 'held');
  const refused = await openDataDir(path);
  assert.ok(!refused.ok && refused.error.message.includes(`process ${child.pid}`));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await codeOf(path), 'ok');
});

test('what an interrupted write left is removed at opening, everything else stays', async () => {
  const path = await scratch();
  for (const name of ['.keys.json.123-4.tmp', 'keys.json', 'notes.tmp', '.hidden']) {
    writeFileSync(join(path, name), 'x');
  }
  assert.equal(await codeOf(path), 'ok');
  assert.deepEqual(readdirSync(path).sort(), ['.hidden', 'keys.json', 'lock', 'notes.tmp']);
});
