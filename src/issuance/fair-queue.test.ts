import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FairQueue } from './fair-queue.ts';

const queue = () => new FairQueue<string>({ total: 10, perLane: 6 });

function drain(from: FairQueue<string>): string[] {
  const taken: string[] = [];
  for (let work = from.take(); work !== undefined; work = from.take()) taken.push(work);
  return taken;
}

describe('fair queue', () => {
  test('takes turns between lanes, in order within each', () => {
    const fair = queue();
    for (const work of ['a1', 'a2', 'a3']) fair.push('a', work);
    for (const work of ['b1', 'b2']) fair.push('b', work);
    fair.push('c', 'c1');
    assert.deepEqual(drain(fair), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    assert.ok(fair.isIdle);
  });

  test('a lane that comes late does not wait for the rest of a long one', () => {
    const fair = queue();
    for (let i = 0; i < 5; i++) fair.push('a', `a${i}`);
    assert.equal(fair.take(), 'a0');
    fair.push('b', 'b0');
    assert.equal(fair.take(), 'a1');
    assert.equal(fair.take(), 'b0');
  });

  const bounds: readonly [string, number, boolean][] = [
    ['n - 1 of a lane', 5, true],
    ['n of a lane', 6, true],
    ['n + 1 of a lane', 7, false],
  ];
  for (const [name, size, room] of bounds) {
    test(`has ${room ? '' : 'no '}room for ${name}`, () => {
      const fair = queue();
      assert.equal(fair.reserve('a', size), room);
      assert.equal(fair.total, room ? size : 0);
    });
  }

  test('has room in all up to the total, over all lanes', () => {
    const fair = queue();
    assert.ok(fair.reserve('a', 6));
    assert.ok(!fair.reserve('b', 5));
    assert.ok(fair.reserve('b', 4));
    assert.ok(!fair.reserve('c', 1));
    fair.release('a', 6);
    assert.ok(fair.reserve('c', 6));
    assert.ok(!fair.reserve('b', 1));
  });
});
