import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createBinaryHashes, readBinaryFile, readBinaryPath } from './binary.ts';

function sleeper(context: TestContext): { pid: number; path: string } {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  const path = join(dir, 'worker');
  copyFileSync('/bin/sleep', path);
  const child = spawn(path, ['60'], { stdio: 'ignore' });
  context.after(() => {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true });
  });
  assert.ok(child.pid !== undefined);
  return { pid: child.pid, path };
}

test('the hash is of the file that runs, even after its path names another', async (context) => {
  const { pid, path } = sleeper(context);
  const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
  assert.equal(assertValue(readBinaryPath(pid)), path);
  const file = assertValue(readBinaryFile(pid));
  unlinkSync(path);
  copyFileSync('/bin/true', path);
  assert.equal(assertValue(await createBinaryHashes(2 ** 30).sha256(pid)), digest);
  assert.equal(assertValue(readBinaryPath(pid)), undefined, 'the path names another file');
  assert.equal(assertValue(readBinaryFile(pid)), file, 'the process runs what it ran');
});

test('callers at once share one reading of a binary', async () => {
  const hashes = createBinaryHashes(2 ** 30);
  const answers = await Promise.all([1, 2, 3].map(() => hashes.sha256(process.pid)));
  const values = answers.map(assertValue);
  assert.equal(new Set(values).size, 1);
  assert.match(values[0] ?? '', /^[0-9a-f]{64}$/);
});

test('a binary of more than maxHashBytes is refused, at n-1, n, n+1', async (context) => {
  const { pid, path } = sleeper(context);
  const { size } = statSync(path);
  assertRefused(await createBinaryHashes(size - 1).sha256(pid), 'AGENT_BINARY_UNREADABLE');
  assert.ok((await createBinaryHashes(size).sha256(pid)).ok);
  assert.ok((await createBinaryHashes(size + 1).sha256(pid)).ok);
});

test('a process that is not there has neither path nor hash', async () => {
  assertRefused(readBinaryPath(2 ** 30), 'AGENT_PROCESS_UNREADABLE');
  assertRefused(readBinaryFile(2 ** 30), 'AGENT_PROCESS_UNREADABLE');
  assertRefused(await createBinaryHashes(1).sha256(2 ** 30), 'AGENT_BINARY_UNREADABLE');
});

test('E4 a binary that is mounted over another in a namespace of its own has no path', async (context) => {
  const { path } = sleeper(context);
  const target = join(dirname(path), 'trusted');
  copyFileSync('/bin/true', target);
  const script = 'mount --bind "$0" "$1" && exec "$1" 60';
  const flags = ['--user', '--map-root-user', '--mount', 'sh', '-c', script, path, target];
  const child = spawn('unshare', flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  const ended = once(child, 'exit').then(() => true);
  // Once the kernel says so, the lie stands.
  for (let link = ''; link !== target; link = readlinkSync(`/proc/${pid}/exe`)) {
    const gone = await Promise.race([
      ended,
      new Promise((resolve) => setTimeout(resolve, 10, false)),
    ]);
    if (gone === true) return context.skip('no user namespaces on this machine');
  }
  assert.equal(assertValue(readBinaryPath(pid)), undefined);
});
