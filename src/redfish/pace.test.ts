import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { busyPauseMs, DEFAULT_PACE, deadline, pause, pollPauseMs } from './pace.ts';

const POLLS: readonly (readonly [elapsedMs: number, pauseMs: number])[] = [
  [0, 100],
  [999, 100],
  [1_010, 101],
  [10_000, 1_000],
  [20_000, 2_000],
  [20_001, 2_000],
  [300_000, 2_000],
];

for (const [elapsedMs, pauseMs] of POLLS) {
  test(`a task that has run for ${elapsedMs} ms is looked at again after ${pauseMs} ms`, () => {
    assert.equal(pollPauseMs(DEFAULT_PACE, elapsedMs), pauseMs);
  });
}

test('the end of a task is noticed at most a tenth late, and 17 looks see two seconds through', () => {
  let elapsedMs = 0;
  let looks = 0;
  for (; elapsedMs < 2_000; looks++) elapsedMs += pollPauseMs(DEFAULT_PACE, elapsedMs);
  assert.ok(elapsedMs <= 2_200, `${elapsedMs}`);
  assert.equal(looks, 18);
});

const none = { bytes: (length: number) => new Uint8Array(length) };
const most = { bytes: (length: number) => new Uint8Array(length).fill(255) };

const BUSY: readonly (readonly [hintMs: number | undefined, from: number, to: number])[] = [
  [undefined, 1_000, 2_000],
  [300_000, 1_000, 2_000],
  [1_000, 500, 1_000],
  [0, 50, 100],
];

for (const [hintMs, from, to] of BUSY) {
  test(`a busy BMC with a hint of ${hintMs} ms is asked again after ${from} to ${to} ms`, () => {
    assert.equal(busyPauseMs(DEFAULT_PACE, hintMs, none), to);
    assert.equal(Math.round(busyPauseMs(DEFAULT_PACE, hintMs, most)), from);
  });
}

test('a pause ends with its time, or with the signal', async () => {
  const clock = new ManualClock(0);
  const { signal } = new AbortController();
  const through = pause(clock, 100, signal);
  clock.advance(100);
  assert.equal(await through, true);
  const controller = new AbortController();
  const stopped = pause(clock, 100, controller.signal);
  controller.abort();
  assert.equal(await stopped, false);
  assert.equal(await pause(clock, 100, controller.signal), false);
});

test('a deadline ends with its time, or with the outer signal; released, with neither', () => {
  const clock = new ManualClock(0);
  const byTime = deadline(clock, 100);
  clock.advance(99);
  assert.equal(byTime.signal.aborted, false);
  clock.advance(1);
  assert.equal(byTime.signal.aborted, true);
  const outer = new AbortController();
  const released = deadline(clock, 100, outer.signal);
  released.release();
  const byOuter = deadline(clock, 100, outer.signal);
  outer.abort();
  clock.advance(100);
  assert.equal(released.signal.aborted, false);
  assert.equal(byOuter.signal.aborted, true);
  assert.equal(deadline(clock, 100, outer.signal).signal.aborted, true);
});
