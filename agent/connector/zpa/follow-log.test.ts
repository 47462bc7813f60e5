import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { LogFollower, MAX_LINE_BYTES, TAIL_BYTES } from './follow-log.ts';

/** A follower on a manual clock: `look` is one round. */
async function follow(context: TestContext, path: string) {
  const clock = new ManualClock(0);
  const lines: string[] = [];
  const faults: string[] = [];
  let rounds = Promise.withResolvers<void>();
  const follower = new LogFollower(path, clock, {
    onLine: (line) => lines.push(line),
    onRound: () => rounds.resolve(),
    onFault: (reason) => faults.push(reason),
  });
  context.after(() => follower.close());
  await follower.start();
  const look = async (): Promise<readonly string[]> => {
    rounds = Promise.withResolvers();
    clock.advance(1000);
    await rounds.promise;
    // The timer of the next round is set when this one has answered.
    await new Promise((resolve) => setImmediate(resolve));
    return lines.splice(0);
  };
  return { lines, faults, look };
}

test('whole lines come as they are written, parts when they are whole', async (context) => {
  const path = join(testFolder(context), 'log');
  writeFileSync(path, 'one\ntw');
  const { lines, look } = await follow(context, path);
  assert.deepEqual(lines.splice(0), ['one']);
  assert.deepEqual(await look(), []);
  appendFileSync(path, 'o\r\nthree\nfo');
  assert.deepEqual(await look(), ['two', 'three']);
});

test('a log that is rotated is read to its end, and the new one from its start', async (context) => {
  const path = join(testFolder(context), 'log');
  writeFileSync(path, 'one\n');
  const { lines, look } = await follow(context, path);
  lines.length = 0;
  appendFileSync(path, 'two\nhal');
  renameSync(path, `${path}.1`);
  assert.deepEqual(await look(), ['two']);
  appendFileSync(`${path}.1`, 'f\n');
  writeFileSync(path, 'three\n');
  assert.deepEqual(await look(), ['half', 'three']);
});

test('a log that is truncated in place is read from its start', async (context) => {
  const path = join(testFolder(context), 'log');
  writeFileSync(path, 'one\ntwo\nhal');
  const { lines, look } = await follow(context, path);
  lines.length = 0;
  truncateSync(path, 0);
  writeFileSync(path, 'new\n');
  assert.deepEqual(await look(), ['new']);
});

for (const [length, taken] of [
  [MAX_LINE_BYTES - 1, true],
  [MAX_LINE_BYTES, true],
  [MAX_LINE_BYTES + 1, false],
  [1_000_000, false],
] as const) {
  test(`a line of ${length} octets is ${taken ? 'taken' : 'passed over, and the next one taken'}`, async (context) => {
    const path = join(testFolder(context), 'log');
    writeFileSync(path, '');
    const { look } = await follow(context, path);
    const long = 'x'.repeat(length);
    writeFileSync(path, `a\n${long}\nb\n`);
    assert.deepEqual(await look(), taken ? ['a', long, 'b'] : ['a', 'b']);
  });
}

test('of a long log only the end is read at the start, from a whole line on', async (context) => {
  const path = join(testFolder(context), 'log');
  const line = `${'y'.repeat(99)}\n`;
  writeFileSync(path, `first\n${line.repeat(2000)}last\n`);
  const { lines } = await follow(context, path);
  assert.ok(lines.length <= TAIL_BYTES / 100 + 1, `${lines.length}`);
  assert.ok(lines.slice(0, -1).every((each) => each.length === 99));
  assert.equal(lines.at(-1), 'last');
});

test('a log that is not there is told once, and taken up when it comes', async (context) => {
  const path = join(testFolder(context), 'log');
  const { faults, look } = await follow(context, path);
  await look();
  assert.deepEqual(faults, [`${path}: ENOENT`]);
  writeFileSync(path, 'here\n');
  assert.deepEqual(await look(), ['here']);
  assert.equal(faults.length, 1);
});

test('a pipe is followed through writers that come and go', async (context) => {
  const path = join(testFolder(context), 'pipe');
  execFileSync('mkfifo', [path]);
  const { look } = await follow(context, path);
  for (const text of ['one\n', 'two\n']) {
    const pipe = openSync(path, 'w');
    writeSync(pipe, text);
    assert.deepEqual(await look(), [text.trim()]);
    assert.deepEqual(await look(), []);
    closeSync(pipe);
    assert.deepEqual(await look(), []);
  }
});

test('a pipe in place of another pipe is followed, and a file in place of a pipe', async (context) => {
  const path = join(testFolder(context), 'pipe');
  execFileSync('mkfifo', [path]);
  const { lines, look } = await follow(context, path);
  unlinkSync(path);
  assert.deepEqual(await look(), []);
  execFileSync('mkfifo', [path]);
  assert.deepEqual(await look(), []);
  const pipe = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  writeSync(pipe, 'second\n');
  assert.deepEqual(await look(), ['second']);
  closeSync(pipe);
  writeFileSync(`${path}.file`, 'third\n');
  renameSync(`${path}.file`, path);
  assert.deepEqual(await look(), ['third']);
  // And back again.
  unlinkSync(path);
  execFileSync('mkfifo', [path]);
  assert.deepEqual(await look(), []);
  const last = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  writeSync(last, 'fourth\n');
  assert.deepEqual(await look(), ['fourth']);
  closeSync(last);
  assert.deepEqual(lines, []);
});

test('a link is followed to where it points now, on another device as well', async (context) => {
  const folder = testFolder(context);
  const other = mkdtempSync('/dev/shm/sgn-log-');
  context.after(() => rmSync(other, { recursive: true }));
  const path = join(folder, 'log');
  writeFileSync(join(folder, 'a'), 'a\n');
  writeFileSync(join(other, 'b'), 'b\n');
  symlinkSync(join(folder, 'a'), path);
  const { lines, look } = await follow(context, path);
  assert.deepEqual(lines.splice(0), ['a']);
  symlinkSync(join(other, 'b'), `${path}.new`);
  renameSync(`${path}.new`, path);
  assert.deepEqual(await look(), ['b']);
  appendFileSync(join(other, 'b'), 'c\n');
  assert.deepEqual(await look(), ['c']);
});

for (const [what, target] of [
  ['a device without an end', '/dev/zero'],
  ['a folder', '/tmp'],
] as const) {
  test(`${what} is not read, is told once, and a log in its place is`, async (context) => {
    const path = join(testFolder(context), 'log');
    symlinkSync(target, path);
    const { lines, faults, look } = await follow(context, path);
    await look();
    assert.deepEqual(lines, []);
    assert.deepEqual(faults, [`${path}: neither a file nor a pipe`]);
    unlinkSync(path);
    writeFileSync(path, 'here\n');
    assert.deepEqual(await look(), ['here']);
  });
}

test('a line of 10 MB comes to an end, and so do octets that are no text', async (context) => {
  const path = join(testFolder(context), 'log');
  writeFileSync(path, '');
  const { look } = await follow(context, path);
  appendFileSync(path, Buffer.alloc(10_000_000, 'x'));
  assert.deepEqual(await look(), []);
  appendFileSync(
    path,
    Buffer.from([0x0a, 0xff, 0xfe, 0x00, 0x41, 0x0a, 0x0a, 0x1b, 0x5b, 0x6d, 0x0a]),
  );
  const lines = [...(await look()), ...(await look())];
  assert.deepEqual(lines, ['\ufffd\ufffd\u0000A', '', '\u001b[m']);
});

test('a last line without an end is no line, also where the log is rotated or truncated then', async (context) => {
  const path = join(testFolder(context), 'log');
  writeFileSync(path, 'Time skew: + ');
  const { lines, look } = await follow(context, path);
  renameSync(path, `${path}.1`);
  writeFileSync(path, '999s\npart');
  assert.deepEqual(await look(), ['999s']);
  truncateSync(path, 0);
  assert.deepEqual(await look(), []);
  appendFileSync(path, 'whole\n');
  assert.deepEqual(await look(), ['whole']);
  assert.deepEqual(lines, []);
});
