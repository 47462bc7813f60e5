import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { Drain } from './drain.ts';
import type { FlowSource } from './flows.ts';

const START_MS = 1_800_000_000_000;

/** Lets what was resolved go on; nothing here waits for anything else. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

function drain(flows: FlowSource | undefined) {
  const clock = new ManualClock(START_MS);
  const told: string[] = [];
  const one = new Drain({
    clock,
    flows,
    quietMs: 5000,
    onBegin: async (reason) => void told.push(`begin ${reason}`),
    onResume: () => void told.push('resume'),
  });
  return { clock, told, one };
}

test('it ends when no flow is open', async () => {
  let open = 2;
  const { clock, told, one } = drain(async () => open);
  const outcome = one.begin(START_MS + 60_000, 'a');
  await settle();
  assert.equal(one.state, 'draining');
  open = 0;
  clock.advance(1000);
  assert.deepEqual(await outcome, { drained: true, openFlows: 0 });
  assert.deepEqual(told, ['begin a']);
});

test('it ends at the deadline with what is open, and the earlier of two deadlines counts', async () => {
  const { clock, told, one } = drain(async () => 3);
  const first = one.begin(START_MS + 60_000, 'a');
  const second = one.begin(START_MS + 2000, 'b');
  for (let second = 0; second < 3; second++) {
    await settle();
    clock.advance(1000);
  }
  assert.deepEqual(await first, { drained: false, openFlows: 3 });
  assert.equal(await second, await first);
  assert.deepEqual(told, ['begin a']);
});

test('without a number it takes the quiet time', async () => {
  const { clock, one } = drain(undefined);
  const outcome = one.begin(START_MS + 60_000, 'a');
  for (let second = 0; second < 4; second++) {
    await settle();
    clock.advance(1000);
  }
  await settle();
  assert.equal(one.state, 'draining');
  clock.advance(1000);
  assert.deepEqual(await outcome, { drained: true, openFlows: 0 });
});

test('resumed it is serving, and may be drained anew', async () => {
  const { told, one } = drain(async () => 1);
  const outcome = one.begin(START_MS + 60_000, 'a');
  await settle();
  one.resume();
  assert.equal((await outcome).drained, false);
  assert.equal(one.state, 'serving');
  void one.begin(START_MS + 60_000, 'b');
  assert.deepEqual(told, ['begin a', 'resume', 'begin b']);
});

for (const setMs of [-3_600_000, 3_600_000]) {
  test(`a wall clock that is set by ${setMs / 3_600_000} h neither ends a drain nor prolongs it`, async () => {
    const { clock, one } = drain(async () => 1);
    const outcome = one.begin(START_MS + 2000, 'a');
    clock.setWallClock(START_MS + setMs);
    await settle();
    clock.advance(1000);
    await settle();
    assert.equal(one.state, 'draining');
    clock.advance(1000);
    assert.deepEqual(await outcome, { drained: false, openFlows: 1 });
  });
}
