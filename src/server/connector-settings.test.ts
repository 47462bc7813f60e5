import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { createRateLimiter } from '../rpc/rate-limiter.ts';
import { type ConnectorSettings, connectorLimits, connectorsSchema } from './connector-settings.ts';

const settings = (text: object): ConnectorSettings => {
  const read = connectorsSchema.parse(text);
  assert.ok(read !== undefined);
  return read;
};

test('limits are those of the configuration in force, also for a limiter that was made before', () => {
  let now = settings({ sessionsPerSecond: 9, enrolmentsPerSecond: 1, enrolmentBurst: 2 });
  const limits = connectorLimits(() => now);
  const clock = new ManualClock(0);
  const limiter = createRateLimiter({ limit: limits.enrolments, clock });
  const taken = (): number =>
    Array.from({ length: 9 }, () => limiter.take('a')).filter(Boolean).length;
  assert.deepEqual([limits.sessionsPerSecond, taken()], [9, 2]);
  now = settings({ sessionsPerSecond: 8, enrolmentsPerSecond: 4, enrolmentBurst: 7 });
  clock.advance(1000);
  assert.deepEqual([limits.sessionsPerSecond, taken()], [8, 4]);
  clock.advance(60_000);
  assert.equal(taken(), 7);
});
