import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration, parseSize } from './units.ts';

const durations: readonly (readonly [string, number | undefined])[] = [
  ['90s', 90],
  ['5m', 300],
  ['1h', 3600],
  ['24h', 86400],
  ['1h30m', 5400],
  ['250ms', 0.25],
  ['7d', 604800],
  ['0s', 0],
  ['', undefined],
  ['5', undefined],
  ['-5s', undefined],
  ['5 s', undefined],
  ['1.5h', undefined],
  ['5S', undefined],
  ['s', undefined],
  ['1e3s', undefined],
  ['５s', undefined],
  ['9999999999s', undefined],
];

for (const [text, seconds] of durations) {
  test(`duration "${text}" is ${seconds === undefined ? 'refused' : `${seconds} seconds`}`, () => {
    const parsed = parseDuration(text);
    assert.equal(parsed.ok ? parsed.value : undefined, seconds);
  });
}

const sizes: readonly (readonly [string, number | undefined])[] = [
  ['512B', 512],
  ['64KiB', 65536],
  ['4MiB', 4194304],
  ['1GiB', 1073741824],
  ['64', undefined],
  ['64KB', undefined],
  ['64kib', undefined],
  ['-1B', undefined],
];

for (const [text, bytes] of sizes) {
  test(`size "${text}" is ${bytes === undefined ? 'refused' : `${bytes} bytes`}`, () => {
    const parsed = parseSize(text);
    assert.equal(parsed.ok ? parsed.value : undefined, bytes);
  });
}

test('a formatted duration reads back as itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000_000 }), (ms) => {
      const parsed = parseDuration(formatDuration(ms / 1000));
      assert.ok(parsed.ok);
      assert.equal(Math.round(parsed.value * 1000), ms);
    }),
  );
});
