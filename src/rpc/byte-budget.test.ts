import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteBudget } from './byte-budget.ts';

for (const [bytes, fits] of [
  [9, true],
  [10, true],
  [11, false],
] as const) {
  test(`of 10 bytes for one peer, ${bytes} are ${fits ? 'taken' : 'refused'}`, () => {
    assert.equal(new ByteBudget(100, 10).take('a', bytes), fits);
  });
  test(`of 10 bytes in all, ${bytes} are ${fits ? 'taken' : 'refused'}`, () => {
    const budget = new ByteBudget(15, 12);
    assert.equal(budget.take('a', 5), true);
    assert.equal(budget.take('b', bytes), fits);
  });
}

test('what is given back may be taken again; what was refused was not counted', () => {
  const budget = new ByteBudget(20, 10);
  assert.equal(budget.take('a', 10), true);
  assert.equal(budget.take('a', 1), false);
  assert.equal(budget.take('b', 10), true);
  budget.give('a', 10);
  assert.equal(budget.take('a', 10), true);
});
