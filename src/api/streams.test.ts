import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { MESSAGE_WAIT_MS, nextMessage } from './streams.ts';

async function* of<T>(...values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

test('a message in time is answered, the end of a stream is undefined', async () => {
  const reader = of('a');
  const clock = new ManualClock(0);
  assert.deepEqual(await nextMessage(reader, clock), { ok: true, value: 'a' });
  assert.deepEqual(await nextMessage(reader, clock), { ok: true, value: undefined });
});

test('D4 a stream on which nothing comes is refused after 10 s, not before', async () => {
  const clock = new ManualClock(0);
  const silent = { next: () => new Promise<IteratorResult<string>>(() => {}) };
  let settled = false;
  const waiting = nextMessage(silent, clock).finally(() => {
    settled = true;
  });
  clock.advance(MESSAGE_WAIT_MS - 1);
  await Promise.resolve();
  assert.equal(settled, false);
  clock.advance(1);
  const refused = await waiting;
  assert.equal(refused.ok ? '' : refused.error.code, 'STREAM_IDLE');
});
