import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRoot } from '../../test/support/x509.ts';
import { type BundleContent, NO_CONTENT, x509AuthorityOf } from './model.ts';
import { nearMs, runsOut } from './nearness.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BEGIN = Date.UTC(2027, 0, 1);

/** A bundle of authorities that live a day, by the hours at which they begin. */
function rotating(...beginHours: readonly number[]): BundleContent {
  const x509 = beginHours.map((hour) => {
    const notBeforeMs = BEGIN + hour * HOUR;
    const root = makeRoot('example.org', { notBeforeMs, notAfterMs: notBeforeMs + DAY });
    return x509AuthorityOf(root.certificate, false);
  });
  return { ...NO_CONTENT, x509 };
}

const cases: readonly (readonly [string, BundleContent, number, number | undefined, boolean])[] = [
  ['a day’s authority, before its last sixth', rotating(0), 20 * HOUR - 1, undefined, false],
  ['a day’s authority, in its last sixth', rotating(0), 20 * HOUR, undefined, true],
  ['one in its last sixth, whose successor is there', rotating(0, 12), 23 * HOUR, undefined, false],
  ['both in their last sixth', rotating(0, 1), 23 * HOUR, undefined, true],
  ['the last one, beside one that is past', rotating(-2, 0), 23 * HOUR, undefined, true],
  ['any within a time that was asked for', rotating(0, 12), 23 * HOUR, 1 * HOUR, true],
  ['none within a time that was asked for', rotating(0, 12), 23 * HOUR - 1, 1 * HOUR, false],
  ['one that is past, which is another state', rotating(0), 24 * HOUR, undefined, false],
  ['nothing', NO_CONTENT, 0, undefined, false],
];

for (const [name, content, atMs, withinMs, runs] of cases) {
  test(`a bundle ${runs ? 'runs out' : 'does not run out'}: ${name}`, () => {
    assert.equal(runsOut(content, BEGIN + atMs, withinMs), runs);
  });
}

test('a JWT authority is near its end as those for X.509 beside it are, else a week before', () => {
  const key = { keyId: 'k', fingerprint: 'f', keyType: 'EC', spki: new Uint8Array() };
  const jwt = [{ ...key, expiresAtMs: BEGIN + DAY, tainted: false }];
  assert.equal(runsOut({ ...rotating(12), jwt }, BEGIN + 20 * HOUR - 1, undefined), false);
  assert.equal(runsOut({ ...rotating(12), jwt }, BEGIN + 20 * HOUR, undefined), true);
  assert.equal(runsOut({ ...NO_CONTENT, jwt }, BEGIN, undefined), true);
});

test('near is a week of a long life and a sixth of a short one', () => {
  assert.equal(nearMs(42 * DAY + 6, undefined), 7 * DAY);
  assert.equal(nearMs(42 * DAY - 6, undefined), 7 * DAY - 1);
  assert.equal(nearMs(undefined, undefined), 7 * DAY);
  assert.equal(nearMs(DAY, 5), 5);
});
