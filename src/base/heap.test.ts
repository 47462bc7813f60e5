import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Heap } from './heap.ts';

test('a heap gives the first of what is in it, however puts and takes are mixed', () => {
  const step = fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
      const inside: number[] = [];
      for (const value of [...steps, ...steps.map(() => undefined)]) {
        if (value === undefined) {
          inside.sort((a, b) => a - b);
          assert.equal(heap.pop(), inside.shift());
        } else {
          heap.push(value);
          inside.push(value);
        }
      }
    }),
  );
});
