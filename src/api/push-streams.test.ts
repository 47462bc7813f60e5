import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result } from '../base/result.ts';
import { createPushStreams } from './push-streams.ts';

test('an agent has one stream; the one before is told, and its leaving changes nothing', () => {
  const counts: number[] = [];
  const streams = createPushStreams((count) => counts.push(count));
  const ended: Result<void>[] = [];
  const leaveFirst = streams.enter('a', (outcome) => ended.push(outcome));
  const leaveSecond = streams.enter('a', () => assert.fail('ended'));
  assert.deepEqual(
    ended.map((outcome) => (outcome.ok ? '' : outcome.error.code)),
    ['SYNC_REPLACED'],
  );
  leaveFirst();
  assert.equal(streams.count, 1);
  leaveSecond();
  assert.equal(streams.count, 0);
  assert.deepEqual(counts, [1, 1, 1, 0]);
});

test('what an agent has applied is known while its stream is open', () => {
  const streams = createPushStreams();
  const leave = streams.enter('a', () => {});
  assert.equal(streams.progress('a'), undefined);
  streams.acked('a', { revision: 5n, bundleSequence: 2n });
  streams.acked('b', { revision: 9n, bundleSequence: 9n });
  assert.deepEqual(streams.progress('a'), { revision: 5n, bundleSequence: 2n });
  assert.equal(streams.progress('b'), undefined);
  leave();
  assert.equal(streams.progress('a'), undefined);
});
