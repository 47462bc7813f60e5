import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { createRateLimiter } from './rate-limiter.ts';

const limit = { perSecond: 2, burst: 3 };

test('a burst is let through, the next refused, and tokens come back with time', () => {
  const clock = new ManualClock(0);
  const limiter = createRateLimiter({ limit, clock });
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limiter.take('a')),
    [true, true, true, false],
  );
  clock.advance(499);
  assert.equal(limiter.take('a'), false);
  clock.advance(1);
  assert.deepEqual([limiter.take('a'), limiter.take('a')], [true, false]);
  clock.advance(3_600_000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => limiter.take('a')),
    [true, true, true, false],
  );
});

test('keys have buckets of their own, and a cost takes as many tokens', () => {
  const limiter = createRateLimiter({ limit, clock: new ManualClock(0) });
  assert.equal(limiter.take('a', 4), false);
  assert.equal(limiter.take('a', 3), true);
  assert.equal(limiter.take('a'), false);
  assert.equal(limiter.take('b'), true);
});

test('the wall clock does not refill', () => {
  const clock = new ManualClock(0);
  const limiter = createRateLimiter({ limit, clock });
  limiter.take('a', 3);
  clock.setWallClock(1e12);
  assert.equal(limiter.take('a'), false);
});

test('past the cap the longest unused key is forgotten', () => {
  const limiter = createRateLimiter({ limit, clock: new ManualClock(0), maxKeys: 2 });
  limiter.take('old', 3);
  limiter.take('kept', 3);
  assert.equal(limiter.take('old'), false);
  limiter.take('new', 3);
  assert.equal(limiter.take('old'), false, 'used after kept');
  assert.equal(limiter.take('kept'), true, 'forgotten, thus full');
});
