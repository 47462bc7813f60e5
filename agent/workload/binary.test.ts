import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createBinaryHashes, readBinaryPath } from './binary.ts';

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
  unlinkSync(path);
  copyFileSync('/bin/true', path);
  assert.equal(assertValue(await createBinaryHashes(2 ** 30).sha256(pid)), digest);
  assert.equal(assertValue(readBinaryPath(pid)), `${path} (deleted)`);
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
  assertRefused(await createBinaryHashes(1).sha256(2 ** 30), 'AGENT_BINARY_UNREADABLE');
});
