import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FullJitterOptions, fullJitterMs } from './back-off.ts';
import type { Random } from './random.ts';

/** Draws all ones: the bound, but for the last bit of a fraction. */
const MOST: Random = { bytes: (count) => new Uint8Array(count).fill(0xff) };
const LEAST: Random = { bytes: (count) => new Uint8Array(count) };

describe('full jitter', () => {
  const waits = { firstMs: 2000, maxMs: 30_000 };
  const cases: readonly [name: string, FullJitterOptions, failures: number, boundMs: number][] = [
    ['the first', waits, 1, 2000],
    ['doubles', waits, 2, 4000],
    ['up to the longest', waits, 4, 16_000],
    ['and no further', waits, 5, 30_000],
    ['after very many', waits, 5000, 30_000],
    ['a spread below the bound changes nothing', { ...waits, spreadMs: 1999 }, 1, 2000],
    ['a spread above it is the bound', { ...waits, spreadMs: 16_667 }, 1, 16_667],
    ['until the bound is longer', { ...waits, spreadMs: 16_667 }, 5, 30_000],
    ['a spread above the longest', { ...waits, spreadMs: 60_000 }, 9, 60_000],
  ];
  for (const [name, options, failures, boundMs] of cases) {
    it(name, () => {
      assert.equal(Math.round(fullJitterMs(options, failures, MOST)), boundMs);
      assert.equal(fullJitterMs(options, failures, LEAST), 0);
    });
  }
});
