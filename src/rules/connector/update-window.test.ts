import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextUpdateWindow, parseUpdateWindow } from './update-window.ts';

test('what is no window is none', () => {
  for (const text of [
    ...['', 'Sat', '02:00-03:00', '02:00-03:00 CET', 'sat 02:00-03:00 UTC', 'Sat 02:00-02:00 UTC'],
    ...[
      'Sat 24:00-01:00 UTC',
      'Sat 02:60-03:00 UTC',
      'Sat,Sat 02:00-03:00 UTC',
      'Sam 02:00-03:00 UTC',
    ],
    ...['Sat, Sun 02:00-03:00 UTC', 'Sat 2:00-3:00 UTC', ' Sat 02:00-03:00 UTC'],
    ...[`${'Sat,'.repeat(10_000)}Sat 02:00-03:00 UTC`],
  ]) {
    assert.equal(parseUpdateWindow(text), undefined, text.slice(0, 60));
  }
});

test('a window names its days, its begin and its length; without days it is on all of them', () => {
  assert.deepEqual(parseUpdateWindow('Mon,Wed 23:00-01:30 UTC'), {
    days: [1, 3],
    startMinute: 23 * 60,
    minutes: 150,
  });
  assert.deepEqual(parseUpdateWindow('Mon-Wed,Sat 02:00-03:00 UTC')?.days, [1, 2, 3, 6]);
  assert.deepEqual(parseUpdateWindow('Fri-Mon 02:00-03:00 UTC')?.days, [5, 6, 0, 1]);
  assert.equal(parseUpdateWindow('00:00-23:59 UTC')?.days.length, 7);
});

test('the next window is the one that is open, else the first one to come', () => {
  // 2026-11-21 is a Saturday.
  const cases: readonly (readonly [window: string, now: string, start: string, end: string])[] = [
    ['Sat 02:00-06:00 UTC', '2026-11-21T01:59:59Z', '2026-11-21T02:00Z', '2026-11-21T06:00Z'],
    ['Sat 02:00-06:00 UTC', '2026-11-21T05:59:59Z', '2026-11-21T02:00Z', '2026-11-21T06:00Z'],
    ['Sat 02:00-06:00 UTC', '2026-11-21T06:00:00Z', '2026-11-28T02:00Z', '2026-11-28T06:00Z'],
    ['Sat 23:00-01:00 UTC', '2026-11-22T00:59:00Z', '2026-11-21T23:00Z', '2026-11-22T01:00Z'],
    ['Sat 23:00-01:00 UTC', '2026-11-22T01:00:00Z', '2026-11-28T23:00Z', '2026-11-29T01:00Z'],
    ['02:00-03:00 UTC', '2026-11-22T12:00:00Z', '2026-11-23T02:00Z', '2026-11-23T03:00Z'],
  ];
  for (const [text, now, start, end] of cases) {
    const window = parseUpdateWindow(text);
    assert.ok(window !== undefined);
    assert.deepEqual(
      nextUpdateWindow(window, Date.parse(now)),
      { startMs: Date.parse(start), endMs: Date.parse(end) },
      `${text} at ${now}`,
    );
  }
});
