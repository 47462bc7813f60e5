import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { Offline } from './offline.ts';

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

function offline(options: { offlineSeconds: number; lifeMs: number; lastSessionMs?: number }) {
  const clock = new ManualClock(START_MS);
  const told: (string | undefined)[] = [];
  const facts = { lastSessionMs: options.lastSessionMs ?? START_MS };
  const watch = new Offline({
    clock,
    svidEndMs: () => START_MS + options.lifeMs,
    offlineSeconds: () => options.offlineSeconds,
    lastSessionMs: () => facts.lastSessionMs,
    onChange: (reason) => told.push(reason),
  });
  return { clock, told, facts, watch };
}

test('a partition of an hour is nothing where the group allows until the SVID ends', () => {
  const { clock, told, watch } = offline({ offlineSeconds: 0, lifeMs: 24 * HOUR_MS });
  watch.session(false);
  clock.advance(HOUR_MS);
  assert.deepEqual(told, []);
});

test('it may not serve from the second at which the limit is over, and may again with a session', () => {
  const { clock, told, facts, watch } = offline({ offlineSeconds: 1800, lifeMs: 24 * HOUR_MS });
  watch.session(true);
  clock.advance(2 * HOUR_MS);
  assert.deepEqual(told, []);
  facts.lastSessionMs = clock.nowMs();
  watch.session(false);
  clock.advance(1_799_999);
  assert.deepEqual(told, []);
  clock.advance(1);
  assert.deepEqual(told, ['without a session for longer than the group allows']);
  watch.session(true);
  assert.deepEqual(told.slice(1), [undefined]);
});

test('a restart does not begin the time anew', () => {
  const lastSessionMs = START_MS - 1_801_000;
  const { told, watch } = offline({ offlineSeconds: 1800, lifeMs: HOUR_MS, lastSessionMs });
  watch.look();
  assert.equal(told.length, 1);
});

test('the end of the SVID ends it, session or not', () => {
  const { clock, told, watch } = offline({ offlineSeconds: 0, lifeMs: HOUR_MS });
  watch.session(true);
  clock.advance(HOUR_MS - 1);
  assert.deepEqual(told, []);
  clock.advance(1);
  assert.deepEqual(told, ['the SVID has expired']);
});

test('a wall clock that is set is seen within a minute', () => {
  const { clock, told, watch } = offline({ offlineSeconds: 0, lifeMs: 24 * HOUR_MS });
  watch.look();
  clock.setWallClock(START_MS + 25 * HOUR_MS);
  clock.advance(60_000);
  assert.deepEqual(told, ['the SVID has expired']);
});

test('a wall clock that is set back gives no more time than the group allows', () => {
  const { clock, told, facts, watch } = offline({ offlineSeconds: 1800, lifeMs: 24 * HOUR_MS });
  watch.session(true);
  facts.lastSessionMs = clock.nowMs();
  watch.session(false);
  clock.setWallClock(START_MS - HOUR_MS);
  clock.advance(1_799_999);
  assert.deepEqual(told, []);
  clock.advance(60_000);
  assert.deepEqual(told, ['without a session for longer than the group allows']);
});

test('what the server suspends may not serve until a session is up', () => {
  const { told, watch } = offline({ offlineSeconds: 0, lifeMs: HOUR_MS });
  watch.suspend('its node is in quarantine');
  watch.session(false);
  watch.session(true);
  assert.deepEqual(told, ['its node is in quarantine', undefined]);
});
