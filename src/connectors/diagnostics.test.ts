import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import type { Event } from '../gen/signet/connector/v1/connector.ts';
import {
  DiagnosticsTable,
  MAX_DIAGNOSED,
  MAX_DIAGNOSTICS_PARTS,
  MAX_DIAGNOSTICS_TEXT,
} from './diagnostics.ts';

const NONCE = Buffer.from('nonce-1');

const event = (message: string, extra: Partial<Event> = {}): Event => ({
  ...{ reason: 'diagnostics', message, warning: false, commandNonce: NONCE, more: false },
  ...extra,
});

function asked(): { readonly clock: ManualClock; readonly table: DiagnosticsTable } {
  const clock = new ManualClock(1000);
  const table = new DiagnosticsTable(clock);
  table.asked('c1');
  table.sent('c1', NONCE);
  return { clock, table };
}

describe('what connectors told', () => {
  test('is there when the last event has come', () => {
    const { clock, table } = asked();
    assert.deepEqual([table.of('c1')?.askedAtMs, table.of('c1')?.answeredAtMs], [1000, 0]);
    clock.advance(5);
    assert.ok(table.take('c1', event('one', { more: true })));
    assert.equal(table.of('c1')?.answeredAtMs, 0, 'more is to come');
    clock.advance(5);
    assert.ok(table.take('c1', event('two\n\tlines', { warning: true })));
    const told = table.of('c1');
    assert.equal(told?.answeredAtMs, 1010);
    assert.deepEqual(told?.parts, [
      { text: 'one', warning: false },
      { text: 'two\n\tlines', warning: true },
    ]);
    assert.equal(table.of('c2'), undefined);
  });

  const unasked: readonly (readonly [string, string, Partial<Event>])[] = [
    ['of another connector', 'c2', {}],
    ['with another nonce', 'c1', { commandNonce: Buffer.from('nonce-2') }],
    ['without a nonce', 'c1', { commandNonce: Buffer.alloc(0) }],
  ];
  for (const [name, id, extra] of unasked) {
    test(`is not taken ${name}`, () => {
      const { table } = asked();
      assert.equal(table.take(id, event('x', extra)), false);
      assert.deepEqual(table.of('c1')?.parts, []);
    });
  }

  test('is not taken before the command was sent, nor after the last event', () => {
    const { table } = asked();
    assert.ok(table.take('c1', event('last')));
    assert.equal(table.take('c1', event('one more')), false);
    table.asked('c1');
    assert.equal(table.take('c1', event('of before')), false);
    assert.deepEqual(table.of('c1')?.parts, [], 'what it told before is gone');
  });

  test('a refusal counts for what was asked alone', () => {
    const { table } = asked();
    table.refused('c1', Buffer.from('other'), 'no');
    assert.equal(table.of('c1')?.refusal, undefined);
    table.refused('c1', NONCE, 'not here');
    assert.deepEqual([table.of('c1')?.refusal, table.of('c1')?.answeredAtMs], ['not here', 1000]);
    assert.equal(table.take('c1', event('x')), false);
  });

  test('has no controls that a terminal obeys, and is well-formed', () => {
    const { table } = asked();
    table.take('c1', event('a\u001b[31m\r\u009b\ud800'));
    assert.equal(table.of('c1')?.parts[0]?.text, 'a [31m  \ufffd');
  });

  for (const [size, isCut] of [
    [MAX_DIAGNOSTICS_TEXT - 1, false],
    [MAX_DIAGNOSTICS_TEXT, false],
    [MAX_DIAGNOSTICS_TEXT + 1, true],
  ] as const) {
    test(`of ${size} characters is ${isCut ? 'cut' : 'whole'}`, () => {
      const { table } = asked();
      table.take('c1', event('x'.repeat(size - 10), { more: true }));
      table.take('c1', event('y'.repeat(10)));
      const told = table.of('c1');
      const kept = told?.parts.reduce((sum, { text }) => sum + text.length, 0);
      assert.deepEqual([kept, told?.isCut], [Math.min(size, MAX_DIAGNOSTICS_TEXT), isCut]);
    });
  }

  for (const [count, isCut] of [
    [MAX_DIAGNOSTICS_PARTS - 1, false],
    [MAX_DIAGNOSTICS_PARTS, false],
    [MAX_DIAGNOSTICS_PARTS + 1, true],
  ] as const) {
    test(`of ${count} events is ${isCut ? 'cut' : 'whole'}`, () => {
      const { table } = asked();
      for (let i = 1; i <= count; i++) table.take('c1', event(`${i}`, { more: i < count }));
      const told = table.of('c1');
      const kept = Math.min(count, MAX_DIAGNOSTICS_PARTS);
      assert.deepEqual([told?.parts.length, told?.isCut], [kept, isCut]);
      assert.notEqual(told?.answeredAtMs, 0, 'the last one ends it, though it is not kept');
    });
  }

  for (const [others, isKept] of [
    [MAX_DIAGNOSED - 2, true],
    [MAX_DIAGNOSED - 1, true],
    [MAX_DIAGNOSED, false],
  ] as const) {
    test(`is ${isKept ? 'kept' : 'forgotten'} when ${others} others were asked since`, () => {
      const { table } = asked();
      for (let i = 0; i < others; i++) table.asked(`other-${i}`);
      assert.equal(table.of('c1') !== undefined, isKept);
      assert.notEqual(table.of('other-0'), undefined);
    });
  }
});
