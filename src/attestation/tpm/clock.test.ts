import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { decodeAssurance, encodeAssurance } from '../../rules/assurance.ts';
import { advanceClock } from './clock.ts';

const LAST = { resetCount: 5, restartCount: 2, clockMs: 1000 };
const quoted = { clock: 1000n, resetCount: 5, restartCount: 2, safe: true };

describe('TPM 2.0 Part 1 §36 a clock', () => {
  for (const [what, change, good] of [
    ['as it was', {}, true],
    ['a millisecond on', { clock: 1001n }, true],
    ['a millisecond back', { clock: 999n }, false],
    ['a millisecond back, not safe, in one run', { clock: 999n, safe: false }, false],
    ['a restart on', { restartCount: 3 }, true],
    ['a restart on, and back', { restartCount: 3, clock: 999n }, false],
    ['a restart on, and back, not safe', { restartCount: 3, clock: 0n, safe: false }, true],
    ['a restart back', { restartCount: 1, clock: 9999n }, false],
    ['a boot on, its restarts counted anew', { resetCount: 6, restartCount: 0 }, true],
    ['a boot on, and back', { resetCount: 6, restartCount: 0, clock: 999n }, false],
    [
      'a boot on, and back, not safe',
      { resetCount: 6, restartCount: 0, clock: 0n, safe: false },
      true,
    ],
    ['a boot back', { resetCount: 4, restartCount: 9, clock: 9999n }, false],
    ['cleared', { resetCount: 0, restartCount: 0, clock: 0n }, false],
    ['beyond all time', { clock: 2n ** 53n }, false],
    ['at the end of time', { clock: 2n ** 53n - 1n }, true],
  ] as const) {
    test(`${what} is ${good ? 'taken' : 'refused'}`, () => {
      const clock = { ...quoted, ...change };
      const advanced = advanceClock(clock, LAST, 'accepted');
      if (!good) return assertRefused(advanced, 'TPM_CLOCK');
      const { resetCount, restartCount } = clock;
      const mark = { resetCount, restartCount, clockMs: Number(clock.clock) };
      assert.deepEqual(assertValue(advanced), mark);
    });
  }

  test('has nothing to be compared with at first', () => {
    const first = { clock: 0n, resetCount: 0, restartCount: 0, safe: true };
    assertValue(advanceClock(first, undefined, 'refused'));
    assertRefused(advanceClock({ ...first, safe: false }, undefined, 'refused'), 'TPM_CLOCK');
  });

  test('is kept with the agent, and is absent in what was written before', () => {
    const assurance = {
      method: 'tpm',
      binding: 'tpm',
      zone: 1,
      release: 'r',
      atSeconds: 7,
    } as const;
    const kept = { ...assurance, tpmClock: LAST };
    assert.deepEqual(decodeAssurance(encodeAssurance(kept)), kept);
    assert.deepEqual(decodeAssurance(encodeAssurance(assurance)), assurance);
    const broken = JSON.stringify({ ...assurance, tpmClock: { resetCount: 'x' } });
    assert.deepEqual(decodeAssurance(broken), assurance);
  });
});
