import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { type ClientReadableStream, Metadata, status } from '@grpc/grpc-js';
import { BackOff } from '../base/back-off.ts';
import { ManualClock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok } from '../base/result.ts';
import { watchStream } from './stream-watch.ts';

class FakeStream extends EventEmitter {
  cancelled = false;
  cancel(): void {
    this.cancelled = true;
  }
  end(code: number, details = ''): void {
    this.emit('status', { code, details, metadata: new Metadata() });
  }
}

function watched() {
  const clock = new ManualClock(0);
  const streams: FakeStream[] = [];
  const updates: number[] = [];
  const errors: { readonly error: SignetError; readonly final: boolean }[] = [];
  const watch = watchStream<number, number>(
    'watching',
    () => {
      const stream = new FakeStream();
      streams.push(stream);
      return stream as unknown as ClientReadableStream<number>;
    },
    (value) => (value < 0 ? fail('WORKLOAD_RESPONSE_INVALID', 'negative') : ok(value)),
    {
      onUpdate: (value) => updates.push(value),
      onError: (error, final) => errors.push({ error, final }),
    },
    { clock, random: seededRandom(1), backOff: { firstMs: 100, maxMs: 400 } },
  );
  return { clock, streams, updates, errors, watch, latest: () => streams.at(-1)! };
}

test('WLAPI-6 opens the stream again after it ended', () => {
  const { clock, streams, updates, latest } = watched();
  latest().emit('data', 1);
  latest().end(status.UNAVAILABLE);
  assert.equal(streams.length, 1);
  clock.advance(100);
  assert.equal(streams.length, 2);
  latest().emit('data', 2);
  assert.deepEqual(updates, [1, 2]);
});

for (const [name, code] of [
  ['PermissionDenied', status.PERMISSION_DENIED],
  ['Unavailable', status.UNAVAILABLE],
  ['OK', status.OK],
  ['Cancelled by the other side', status.CANCELLED],
] as const) {
  test(`WEP-14 goes on after ${name}`, () => {
    const { clock, streams, errors, latest } = watched();
    latest().end(code);
    clock.advance(100);
    assert.equal(streams.length, 2);
    assert.equal(errors[0]?.final, false);
  });
}

for (const [rule, code] of [
  ['WEP-14 InvalidArgument', status.INVALID_ARGUMENT],
  ['WEP-15 Unimplemented', status.UNIMPLEMENTED],
] as const) {
  test(`${rule} ends the watch`, () => {
    const { clock, streams, errors, latest } = watched();
    latest().end(code);
    clock.advance(1e6);
    assert.equal(streams.length, 1);
    assert.equal(errors[0]?.final, true);
  });
}

test('waits grow to the longest and begin anew after an answer', () => {
  const { clock, streams, latest } = watched();
  for (const longest of [100, 200, 400, 400]) {
    latest().end(status.UNAVAILABLE);
    const before = streams.length;
    clock.advance(longest / 2 - 1);
    assert.equal(streams.length, before);
    clock.advance(longest / 2 + 1);
    assert.equal(streams.length, before + 1);
  }
  latest().emit('data', 1);
  latest().end(status.UNAVAILABLE);
  const before = streams.length;
  clock.advance(100);
  assert.equal(streams.length, before + 1);
});

test('WLAPI-9 a discarded response is told and the stream goes on', () => {
  const { streams, updates, errors, latest } = watched();
  latest().emit('data', -1);
  latest().emit('data', 3);
  assert.deepEqual(updates, [3]);
  assert.equal(errors[0]?.error.code, 'WORKLOAD_RESPONSE_INVALID');
  assert.equal(streams.length, 1);
});

test('nothing is called after close, and nothing opened', () => {
  const { clock, streams, updates, errors, watch, latest } = watched();
  watch.close();
  assert.ok(latest().cancelled);
  latest().emit('data', 1);
  latest().end(status.CANCELLED);
  clock.advance(1e6);
  assert.deepEqual([updates, errors, streams.length], [[], [], 1]);
});

test('close during a wait ends the wait', () => {
  const { clock, streams, watch, latest } = watched();
  latest().end(status.UNAVAILABLE);
  watch.close();
  clock.advance(1e6);
  assert.equal(streams.length, 1);
});

test('waits lie in the upper half of their step', () => {
  const backOff = new BackOff({ firstMs: 100, maxMs: 1000 }, seededRandom(7));
  for (const full of [100, 200, 400, 800, 1000, 1000]) {
    const waitMs = backOff.next();
    assert.ok(waitMs >= full / 2 && waitMs <= full, `${waitMs} of ${full}`);
  }
  backOff.reset();
  assert.ok(backOff.next() <= 100);
});
