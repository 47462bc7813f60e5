import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { CHALLENGE_LIFE_MS, createChallenges } from './challenges.ts';

const KEY = makeKey().spki;
const OTHER = makeKey().spki;

function made(maxUsed?: number) {
  const clock = new ManualClock(1_000_000);
  const challenges = createChallenges({ clock, random: seededRandom(7) }, maxUsed);
  return { clock, challenges };
}

describe('challenges', () => {
  test('are good once, for the key that they were given for, and fit the wire', () => {
    const { challenges } = made();
    const { bytes } = challenges.give(KEY);
    assert.ok(bytes.length <= 128);
    for (const ask of [challenges.check, challenges.use]) {
      assertRefused(ask(bytes, OTHER), 'CONNECTOR_CHALLENGE_KEY');
    }
    assertValue(challenges.check(bytes, KEY));
    assertValue(challenges.use(bytes, KEY));
    for (const ask of [challenges.check, challenges.use]) {
      assertRefused(ask(bytes, KEY), 'CONNECTOR_CHALLENGE_USED');
    }
    assert.notDeepEqual(challenges.give(KEY).bytes, bytes);
  });

  for (const [afterMs, code] of [
    [CHALLENGE_LIFE_MS - 1, undefined],
    [CHALLENGE_LIFE_MS, 'CONNECTOR_CHALLENGE_EXPIRED'],
    [CHALLENGE_LIFE_MS + 1, 'CONNECTOR_CHALLENGE_EXPIRED'],
  ] as const) {
    test(`${afterMs} ms old: ${code ?? 'taken'}`, async () => {
      const { clock, challenges } = made();
      const { bytes, expiresAtMs } = challenges.give(KEY);
      assert.equal(expiresAtMs, clock.nowMs() + CHALLENGE_LIFE_MS);
      clock.advance(afterMs);
      for (const ask of [challenges.check, challenges.use]) {
        if (code === undefined) assertValue(ask(bytes, KEY));
        else assertRefused(ask(bytes, KEY), code);
      }
    });
  }

  test('are unknown with any byte changed, cut off, added, or of another process', () => {
    const { challenges } = made();
    const { bytes } = challenges.give(KEY);
    const changed = [...bytes.keys()].map((at) => {
      const copy = Uint8Array.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    });
    const foreign = createChallenges({
      clock: new ManualClock(1_000_000),
      random: seededRandom(8),
    }).give(KEY).bytes;
    const longer = Buffer.concat([bytes, Buffer.of(0)]);
    const all = [...changed, foreign, longer, bytes.subarray(1), bytes.subarray(0, -1)];
    for (const hostile of [...all, new Uint8Array()]) {
      assertRefused(challenges.check(hostile, KEY), 'CONNECTOR_CHALLENGE_UNKNOWN');
      assertRefused(challenges.use(hostile, KEY), 'CONNECTOR_CHALLENGE_UNKNOWN');
    }
    assertValue(challenges.use(bytes, KEY));
  });

  test('used ones take room until they have ended, and no more than that', async () => {
    const { clock, challenges } = made(2);
    assertValue(challenges.use(challenges.give(KEY).bytes, KEY));
    assertValue(challenges.use(challenges.give(KEY).bytes, KEY));
    const third = challenges.give(KEY).bytes;
    assertRefused(challenges.use(third, KEY), 'CONNECTOR_BUSY');
    clock.advance(CHALLENGE_LIFE_MS - 1);
    assertRefused(challenges.use(third, KEY), 'CONNECTOR_BUSY');
    clock.advance(1);
    assertValue(challenges.use(challenges.give(KEY).bytes, KEY));
  });

  test('that are given or looked at take no room, however many', () => {
    const { challenges } = made(1);
    const first = challenges.give(KEY).bytes;
    for (let at = 0; at < 100; at++) assertValue(challenges.check(challenges.give(KEY).bytes, KEY));
    assertValue(challenges.use(first, KEY));
    assertRefused(challenges.use(challenges.give(KEY).bytes, KEY), 'CONNECTOR_BUSY');
  });
});
