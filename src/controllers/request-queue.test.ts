import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '../base/clock.ts';
import { LOOK_MS, type Queued, RequestQueue } from './request-queue.ts';

interface Item extends Queued {
  readonly name: string;
}

function item(name: string): Item {
  return { name, state: 'idle', dueMs: 0, isNews: false };
}

function queueOf(items: readonly Item[], work: (items: readonly Item[]) => Promise<void>) {
  const clock = new ManualClock(0);
  const faults: unknown[] = [];
  const queue = new RequestQueue<Item>({
    clock,
    term: () => new AbortController().signal,
    all: () => items,
    work,
    onFault: (thrown) => void faults.push(thrown),
  });
  return { clock, faults, queue };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}

describe('a queue of requests', () => {
  it('leaves a request to who looks at it, when an earlier look at others ends', async () => {
    const [slow, quick] = [item('slow'), item('quick')];
    const turns: { readonly names: string[]; readonly end: () => void }[] = [];
    const { queue, clock } = queueOf([slow, quick], async (items) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      turns.push({ names: items.map(({ name }) => name), end: resolve });
      if (turns.length === 1) queue.later(quick, 0);
      await promise;
    });
    queue.put(slow);
    queue.put(quick);
    await until(() => turns.length === 1);
    clock.advance(LOOK_MS);
    await until(() => turns.length === 2);
    assert.deepEqual(turns[1]?.names, ['quick']);
    turns[0]?.end();
    await until(() => slow.state === 'idle');
    assert.equal(quick.state, 'busy');
    clock.advance(LOOK_MS);
    await until(() => turns.length === 3);
    assert.deepEqual(turns[2]?.names, ['slow']);
    for (const { end } of turns) end();
    await queue.stop();
  });

  it('lets others have their turn between batches, however quickly those end', async () => {
    const items = Array.from({ length: 1_000 }, (_, index) => item(String(index)));
    let looks = 0;
    const { queue } = queueOf(items, async (some) => {
      looks += some.length;
      for (const one of some) queue.drop(one);
    });
    for (const one of items) queue.put(one);
    await setImmediate();
    assert.ok(looks > 0 && looks < items.length, `${looks} before others`);
    await until(() => looks === items.length);
    await queue.stop();
  });

  it('looks again at what a look that failed has left, and says so', async () => {
    const one = item('one');
    let looks = 0;
    const { queue, clock, faults } = queueOf([one], async () => {
      looks += 1;
      if (looks === 1) throw new TypeError('as the test says');
      queue.drop(one);
    });
    queue.put(one);
    await until(() => faults.length === 1 && one.state === 'idle');
    clock.advance(LOOK_MS);
    await until(() => one.state === 'done');
    assert.equal(looks, 2);
    await queue.stop();
  });
});
