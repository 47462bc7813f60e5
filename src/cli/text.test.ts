import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COLUMNS, formatBlock, formatTable, formatTime, safe, safeJson, span } from './text.ts';

const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const hostile: readonly (readonly [string, string, string])[] = [
  ['an escape sequence', '\x1b[2J', '\\u001b[2J'],
  ['a carriage return', 'a\rb', 'a\\u000db'],
  ['a line feed', 'a\nb', 'a\\u000ab'],
  ['a C1 control sequence introducer', '\x9b31m', '\\u009b31m'],
  ['text that reads backwards', '\u202egnp.exe', '\\u202egnp.exe'],
  ['a zero-width space', 'a\u200bb', 'a\\u200bb'],
  ['a line separator', 'a\u2028b', 'a\\u2028b'],
  ['tag characters beyond the first plane', '\u{e0041}', '\\udb40\\udc41'],
];

for (const [name, text, expected] of hostile) {
  test(`shows ${name} instead of sending it to the terminal`, () => {
    assert.equal(safe(text), expected);
    assert.doesNotMatch(safeJson({ text }), UNSAFE);
    assert.deepEqual(JSON.parse(safeJson({ text })), { text });
  });
}

test('leaves the letters of all languages alone', () => {
  assert.equal(safe('spiffe://example.org/größe/名前'), 'spiffe://example.org/größe/名前');
});

test('JSON made safe is still the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = safeJson(value);
      assert.doesNotMatch(text, UNSAFE);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('all columns of a table but the last fit its line together', () => {
  const cell = fc.string({ maxLength: 100 });
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }), (rows) => {
      const table = formatTable(
        ['ONE', 'TWO', 'SPIFFE ID'],
        rows.map(([a, b]) => [a, b, 'ID']),
      );
      for (const line of table.split('\n')) assert.ok(line.length <= COLUMNS, line);
    }),
  );
});

test('a table never cuts its last column', () => {
  const id = `spiffe://example.org/${'x'.repeat(200)}`;
  const table = formatTable(['TYPE', 'ID'], [['join_token', id]]);
  assert.ok(table.includes(`join_token  ${id}\n`));
});

test('a table shows controls in cells', () => {
  assert.match(formatTable(['A', 'B'], [['\x1b[31m', 'b']]), /\\u001b\[31m {2}b/);
});

test('a block lines its colons up and gives lists a line an element', () => {
  assert.equal(
    formatBlock([
      ['ID', 'a'],
      ['Selector', ['x:1', 'y:2']],
      ['Hint', []],
    ]),
    'ID       : a\nSelector : x:1\nSelector : y:2\n',
  );
});

const spans: readonly (readonly [number, string])[] = [
  [0, '0s'],
  [59, '59s'],
  [60, '1m'],
  [61, '1m 1s'],
  [3600, '1h'],
  [3605, '1h'],
  [3661, '1h 1m'],
  [86_400, '1d'],
  [90_000, '1d 1h'],
];

for (const [seconds, expected] of spans) {
  test(`${seconds} seconds are ${expected}`, () => assert.equal(span(seconds), expected));
}

const nowMs = Date.UTC(2026, 0, 1);
const times: readonly (readonly [number, string])[] = [
  [0, 'never'],
  [nowMs / 1000, '2026-01-01T00:00:00Z (now)'],
  [nowMs / 1000 + 90, '2026-01-01T00:01:30Z (in 1m 30s)'],
  [nowMs / 1000 - 3600, '2025-12-31T23:00:00Z (1h ago)'],
  [1e15, '1000000000000000'],
];

for (const [seconds, expected] of times) {
  test(`the time ${seconds} reads ${expected}`, () => {
    assert.equal(formatTime(seconds, nowMs), expected);
  });
}
