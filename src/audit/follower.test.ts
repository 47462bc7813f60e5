import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followerBounds, MemorySink, readBack } from '../../test/support/audit.ts';
import {
  DISK_FULL,
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { utf8 } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { dropBodies } from '../ledger/retention.ts';
import { cursorFile, readCursor, writeCursor } from './cursor.ts';
import { type Follower, openFollower } from './follower.ts';

const START_MS = 1_800_000_000_000;
const signer = makeNoteSigner();
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);
const AWAY = fail('AUDIT_SINK_UNAVAILABLE', 'away');

async function fill(ledger: Ledger, count: number): Promise<void> {
  for (let at = 0; at < count; at += 10) {
    unwrap(await ledger.append(makeEntries(ledger.size, Math.min(10, count - at))));
  }
  unwrap(await ledger.publish());
}

/** A ledger with some records and a follower that has not begun. */
async function rig(count: number, files = new MemoryFiles()) {
  const clock = new ManualClock(START_MS + 600_000);
  const ledger = unwrap(await openTestLedger({ files, signer, clock, segmentBytes: 1000 }));
  await fill(ledger, count);
  const sink = new MemorySink();
  const open = () => openFollower({ ...followerBounds(clock), sink, files, ledger });
  return { files, clock, ledger, sink, open };
}

/** Lets promises that wait for nothing outside go on until something holds. */
async function until(holds: () => boolean, clock?: ManualClock): Promise<void> {
  while (!holds()) {
    await new Promise((resolve) => setImmediate(resolve));
    clock?.advance(1000);
  }
}

const idle = (follower: Follower, clock?: ManualClock) =>
  until(() => follower.lagRecords === 0, clock);
const indexes = (sink: MemorySink) => sink.lines.map(({ text }) => readBack(text).index);
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);

test('a sink gets every record in order, those that come later too', async () => {
  const { ledger, sink, open } = await rig(25);
  const follower = unwrap(await open());
  assert.equal(follower.lagRecords, 25);
  follower.start();
  await sink.holds(25);
  await fill(ledger, 12);
  await sink.holds(37);
  await idle(follower);
  assert.deepEqual(indexes(sink), upTo(37));
  for (const { text } of sink.lines) {
    const { origin, index, record } = readBack(text);
    assert.equal(origin, ledger.checkpoint.origin);
    assert.equal(record?.record, index);
  }
  assert.deepEqual(follower.counts, { delivered: 37, failed: 0, dropped: 0 });
  await follower.close();
});

test('a sink gets nothing that no checkpoint covers', async () => {
  const { ledger, sink, open } = await rig(3);
  unwrap(await ledger.append(makeEntries(3, 2)));
  const follower = unwrap(await open());
  follower.start();
  await idle(follower);
  assert.deepEqual(indexes(sink), [0, 1, 2]);
  unwrap(await ledger.publish());
  await sink.holds(5);
  await follower.close();
});

test('a sink that fails gets the same records again and none is left out', async () => {
  const { clock, ledger, sink, open } = await rig(20);
  sink.failures.push(AWAY, AWAY, fail('AUDIT_SINK_REFUSED', 'no'), AWAY);
  const follower = unwrap(await open());
  follower.start();
  await until(() => sink.lines.length >= 20, clock);
  assert.deepEqual(indexes(sink), upTo(20));
  assert.equal(follower.counts.failed, 4);
  unwrap(await ledger.append(makeEntries(20, 1)));
  await follower.close();
});

test('a sink that throws is one that fails', async () => {
  const { clock, sink, open } = await rig(5);
  const deliver = sink.deliver.bind(sink);
  let thrown = false;
  sink.deliver = async (lines) => {
    if (thrown) return deliver(lines);
    thrown = true;
    throw new TypeError('a fault of the client');
  };
  const follower = unwrap(await open());
  follower.start();
  await until(() => sink.lines.length === 5, clock);
  assert.deepEqual(indexes(sink), upTo(5));
  await follower.close();
});

test('pauses grow, keep below half a minute, and are as long as the other side asks', async () => {
  const { clock, sink, open } = await rig(1);
  const pauses: number[] = [];
  const after = clock.after.bind(clock);
  clock.after = (ms, action) => {
    // The alarm's own timer is not a pause.
    if (ms !== 5000) pauses.push(ms);
    return after(ms, action);
  };
  const details = { retryAfterMs: 77_000 };
  sink.failures.push(...Array.from({ length: 12 }, () => AWAY));
  sink.failures.push(fail('AUDIT_SINK_THROTTLED', 'slowly', { details }));
  const follower = unwrap(await open());
  follower.start();
  await until(() => sink.lines.length === 1, clock);
  assert.equal(pauses.length, 13);
  for (const [at, pause] of pauses.slice(0, 12).entries()) {
    const longest = Math.min(30_000, 250 * 2 ** at);
    assert.ok(pause >= longest / 2 && pause <= longest, `${at}: ${pause}`);
  }
  assert.equal(pauses[12], 77_000);
  await follower.close();
});

test('a restart goes on at the cursor', async () => {
  const { files, ledger, sink, open } = await rig(9);
  const first = unwrap(await open());
  first.start();
  await idle(first);
  await first.close();
  const { origin } = ledger.checkpoint;
  assert.deepEqual(unwrap(await readCursor(files, 'test')), { origin, next: 9 });
  await fill(ledger, 4);
  const second = unwrap(await open());
  second.start();
  await sink.holds(13);
  await second.close();
  assert.deepEqual(indexes(sink), upTo(13));
});

test('what was delivered when the cursor could not be kept comes again after a restart', async () => {
  let full = false;
  const files = new MemoryFiles(new Map(), async (step, name) =>
    full && step === 'replace' && name.startsWith('audit/') ? DISK_FULL : ok(undefined),
  );
  const { sink, open, ledger, clock } = await rig(5, files);
  full = true;
  const first = unwrap(await open());
  first.start();
  await until(() => first.counts.failed > 0, clock);
  assert.deepEqual(indexes(sink), upTo(5), 'a full disk of the cursor brings no flood of doubles');
  assert.equal(first.hold.from, 0, 'bodies are held from what is durable');
  await first.close();
  full = false;
  const second = unwrap(await open());
  second.start();
  await sink.holds(10);
  assert.deepEqual(indexes(sink), [...upTo(5), ...upTo(5)]);
  await fill(ledger, 1);
  await idle(second);
  await second.close();
});

test('records that retention dropped are a line, a count, and no silent hole', async () => {
  const { files, ledger, sink, open } = await rig(200);
  unwrap(await dropBodies(files, ledger.checkpoint, { beforeMs: START_MS + 120_000, holds: [] }));
  const follower = unwrap(await open());
  follower.start();
  await idle(follower);
  await follower.close();
  const [gap, ...rest] = sink.lines.map(({ text }) => readBack(text));
  assert.equal(gap?.index, 0);
  const dropped = gap?.dropped ?? 0;
  assert.ok(dropped > 0 && dropped <= 120);
  assert.deepEqual(
    rest.map(({ index }) => index),
    upTo(200).slice(dropped),
  );
  assert.deepEqual(follower.counts, { delivered: 200 - dropped, failed: 0, dropped });
});

test('the lag is counted from the oldest record that waits, and past its bound it is late', async () => {
  const { clock, sink, open } = await rig(20);
  sink.failures.push(...Array.from({ length: 3 }, () => AWAY));
  const follower = unwrap(await open());
  assert.equal(follower.lagMs, 0);
  follower.start();
  await until(() => follower.counts.failed === 1);
  assert.equal(follower.lagRecords, 20);
  assert.equal(follower.lagMs, 600_000);
  assert.ok(follower.late);
  await until(() => sink.lines.length === 20, clock);
  await idle(follower);
  assert.equal(follower.lagMs, 0);
  assert.ok(!follower.late);
  await follower.close();
});

test('a cursor ahead of the ledger refuses: the ledger is an older copy', async () => {
  const { files, ledger, open } = await rig(5);
  const { origin } = ledger.checkpoint;
  for (const [next, code] of [
    [4, undefined],
    [5, undefined],
    [6, 'AUDIT_CURSOR_AHEAD'],
  ] as const) {
    unwrap(await writeCursor(files, 'test', { origin, next }));
    const opened = await open();
    assert.equal(codeOf(opened), code);
    if (opened.ok) await opened.value.close();
  }
});

test('another ledger is followed from its first record', async () => {
  const { files, sink, open } = await rig(5);
  unwrap(await writeCursor(files, 'test', { origin: 'example.org/before', next: 900 }));
  const follower = unwrap(await open());
  follower.start();
  await sink.holds(5);
  await follower.close();
  assert.deepEqual(indexes(sink), upTo(5));
});

test('a damaged cursor refuses', async () => {
  const { files, open } = await rig(1);
  for (const text of ['', 'o\n', 'o\n1', 'o\n-1\n', 'o\n01\n', 'o\n1\n2\n', '\n1\n', 'o\n1e3\n']) {
    unwrap(await files.replace(cursorFile('test'), utf8(text)));
    assert.equal(codeOf(await open()), 'AUDIT_CURSOR_INVALID', JSON.stringify(text));
  }
});

test('closing ends a pause and a wait at once', async () => {
  const { sink, open } = await rig(1);
  sink.failures.push(...Array.from({ length: 100 }, () => AWAY));
  const follower = unwrap(await open());
  follower.start();
  await until(() => follower.counts.failed > 0);
  await follower.close();
  assert.equal(sink.lines.length, 0);
});
