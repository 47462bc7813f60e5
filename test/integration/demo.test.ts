import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { devFolder, eventually, SIGNET } from '../support/dev.ts';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');

before(() => run(SIGNET, ['version']));

/** Command lines of the processes below a process, at any depth. */
function descendants(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  const visit = (parent: number): void => {
    for (const child of childrenOf(parent)) {
      found.set(child, readFileSync(`/proc/${child}/cmdline`, 'utf8').replaceAll('\0', ' '));
      visit(child);
    }
  };
  visit(pid);
  return found;
}

function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim() === '' ? [] : text.trim().split(' ').map(Number);
}

function isGone(pid: number): boolean {
  try {
    // A zombie has ended: only its parent has not asked yet.
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/\(.*\)/, ''));
  } catch {
    return true;
  }
}

/** Starts the demo in a temporary folder of its own and waits until its services wait. */
async function startDemo(
  context: TestContext,
): Promise<{ child: ChildProcess; folder: string; out: () => string; err: () => string }> {
  const folder = devFolder(context);
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(SIGNET, ['demo'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  await eventually(() => out.includes('billing (pid') || child.exitCode !== null, 60_000);
  assert.match(out, /web \(pid \d+\) waits; the agent says "no identity issued"/, err);
  return { child, folder, out: () => out, err: () => err };
}

const DIST = join(process.cwd(), 'dist');
const leftInDist = (): readonly string[] =>
  readdirSync(DIST).filter((name) => name.startsWith('signet-demo-'));

test('an interrupted demo ends with 1 and leaves nothing behind', linux, async (context) => {
  const before = leftInDist();
  const { child, folder, err } = await startDemo(context);
  const family = descendants(child.pid ?? 0);
  // dev, server, agent, web, billing, stranger.
  assert.equal(family.size, 6, [...family.values()].join('\n'));
  const closed = once(child, 'close');
  child.kill('SIGINT');
  await closed;
  assert.equal(child.exitCode, 1);
  assert.match(err(), /interrupted\n {2}code: DEMO_FAILED/);
  for (const [pid, command] of family) assert.ok(isGone(pid), command);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(leftInDist(), before);
});

test('after kill -9 of the demo all its processes end', linux, async (context) => {
  const before = leftInDist();
  context.after(() => {
    // Nobody was left to remove the copies of the binary.
    const left = leftInDist().filter((name) => !before.includes(name));
    for (const name of left) rmSync(join(DIST, name), { recursive: true });
  });
  const { child } = await startDemo(context);
  const family = descendants(child.pid ?? 0);
  child.kill('SIGKILL');
  await eventually(() => [...family.keys()].every(isGone), 30_000);
});

test(
  'a demo whose reader goes away stops what it started and leaves nothing behind',
  linux,
  async (context) => {
    const before = leftInDist();
    const { child, folder } = await startDemo(context);
    const family = descendants(child.pid ?? 0);
    const closed = once(child, 'close');
    child.stdout?.destroy();
    await closed;
    assert.notEqual(child.exitCode, 0);
    for (const [pid, command] of family) assert.ok(isGone(pid), command);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(leftInDist(), before);
  },
);
