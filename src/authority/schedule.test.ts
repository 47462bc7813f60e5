import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JournalEntry } from './journal.ts';
import { activateAtMs, nextStep, prepareAtMs, pruneAtMs } from './schedule.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

function entry(extra: Partial<JournalEntry> = {}): JournalEntry {
  return {
    kind: 'x509',
    slot: 'x509-CA-A',
    state: 'active',
    authorityId: 'a',
    publicKey: '',
    issuedAtSeconds: 0,
    notAfterSeconds: DAY,
    ...extra,
  };
}

describe('schedule of authorities', () => {
  const lives: readonly [string, number, number, number][] = [
    ['a minute', 60, 30, 50],
    ['a day', DAY, DAY / 2, DAY - 4 * HOUR],
    ['42 days, where a sixth is 7 days', 42 * DAY, 21 * DAY, 35 * DAY],
    ['60 days, where a half is 30 days', 60 * DAY, 30 * DAY, 53 * DAY],
    ['a year: 30 and 7 days before the end', 365 * DAY, 335 * DAY, 358 * DAY],
  ];
  for (const [name, life, prepare, activate] of lives) {
    test(`A.5 prepares and activates on time in a life of ${name}`, () => {
      const active = entry({ notAfterSeconds: life });
      assert.equal(prepareAtMs(active), prepare * 1000);
      assert.equal(activateAtMs(active), activate * 1000);
    });
  }

  test('A.5 prunes a day after the end', () => {
    assert.equal(pruneAtMs(5000), 5000 + DAY * 1000);
  });

  test('makes the first authority active at once', () => {
    assert.deepEqual(nextStep('jwt', [entry()], 0), {
      action: 'make',
      slot: 'JWT-Signer-A',
      state: 'active',
    });
  });

  test('waits until the very millisecond at which the successor is due', () => {
    const active = entry();
    const due = prepareAtMs(active);
    assert.deepEqual(nextStep('x509', [active], due - 1), { action: 'wait', untilMs: due });
    const step = { action: 'make', slot: 'x509-CA-B', state: 'prepared' };
    assert.deepEqual(nextStep('x509', [active], due), step);
  });

  test('activates the successor at its very millisecond, and makes no third', () => {
    const active = entry({ slot: 'x509-CA-B' });
    const next = entry({ state: 'published', slot: 'x509-CA-A', notAfterSeconds: 2 * DAY });
    const due = activateAtMs(active);
    const entries = [active, next];
    assert.deepEqual(nextStep('x509', entries, due - 1), { action: 'wait', untilMs: due });
    const step = { action: 'activate', entry: next, replaced: active };
    assert.deepEqual(nextStep('x509', entries, due), step);
  });

  test('takes the slot that the active authority does not have', () => {
    const step = nextStep('x509', [entry({ slot: 'x509-CA-B' })], DAY * 1000);
    assert.equal(step.action === 'make' && step.slot, 'x509-CA-A');
  });

  test('I5 without an active one activates what the bundle holds rather than something new', () => {
    const next = entry({ state: 'published' });
    const old = entry({ state: 'old' });
    const step = { action: 'activate', entry: next, replaced: undefined };
    assert.deepEqual(nextStep('x509', [old, next], 0), step);
  });

  test('I5 publishes what is prepared before anything else, whatever the time', () => {
    const prepared = entry({ state: 'prepared', slot: 'x509-CA-B', notAfterSeconds: 2 * DAY });
    for (const entries of [[prepared], [entry(), prepared]]) {
      assert.deepEqual(nextStep('x509', entries, 0), { action: 'publish', entry: prepared });
    }
  });

  for (const state of ['old', 'tainted'] as const) {
    test(`lets an authority that is ${state} expire at its very end`, () => {
      const retired = entry({ state, notAfterSeconds: HOUR });
      const entries = [retired, entry({ slot: 'x509-CA-B' })];
      const wait = { action: 'wait', untilMs: HOUR * 1000 };
      assert.deepEqual(nextStep('x509', entries, HOUR * 1000 - 1), wait);
      assert.deepEqual(nextStep('x509', entries, HOUR * 1000), {
        action: 'expire',
        entry: retired,
      });
    });
  }

  for (const state of ['revoked', 'expired'] as const) {
    test(`has nothing to do with an authority that is ${state}`, () => {
      const spent = entry({ state, notAfterSeconds: HOUR });
      assert.equal(
        nextStep('x509', [spent, entry({ slot: 'x509-CA-B' })], HOUR * 1000).action,
        'wait',
      );
    });
  }

  test('passes over a prepared authority that has expired meanwhile', () => {
    const active = entry();
    const late = entry({ state: 'published', slot: 'x509-CA-B', notAfterSeconds: 2 * DAY });
    const step = nextStep('x509', [active, late], 2 * DAY * 1000);
    assert.deepEqual(step, { action: 'make', slot: 'x509-CA-B', state: 'prepared' });
  });

  test('keeps the kinds apart', () => {
    const x509 = entry();
    assert.equal(nextStep('x509', [x509], 0).action, 'wait');
    assert.equal(nextStep('jwt', [x509], 0).action, 'make');
  });
});
