import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ManualClock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { seededRandom } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { type Pace, PacedCalls } from './paced-calls.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

function paced(pace: Partial<Pace> = {}) {
  const clock = new ManualClock(0);
  const limits = { perSecond: 10, burst: 2, inFlight: 100, timeoutMs: 1000, deadlineMs: 5000 };
  const calls = new PacedCalls({
    pace: { ...limits, ...pace },
    clock,
    random: seededRandom(1),
    metrics: createMetrics('test'),
  });
  /** Moves the clock in small steps, so that whoever waits for a promise in between goes on. */
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 10) {
      clock.advance(10);
      await turn();
    }
  };
  return { clock, calls, pass };
}

describe('paced calls', () => {
  test('B1 begin no faster than the bucket fills', async () => {
    const { calls, pass } = paced();
    let begun = 0;
    const attempt = async () => {
      begun += 1;
      return ok(undefined);
    };
    const all = Array.from({ length: 10 }, () => calls.run({ operation: 'Sign', attempt }));
    await turn();
    assert.equal(begun, 2);
    await pass(100);
    assert.equal(begun, 3);
    await pass(700);
    assert.equal(begun, 10);
    assert.ok((await Promise.all(all)).every(({ ok }) => ok));
  });

  test('are refused when their turn does not come in time', async () => {
    const { calls, pass } = paced({ perSecond: 0.1, burst: 1 });
    const attempt = async () => ok(undefined);
    assert.equal(code(await calls.run({ operation: 'Sign', attempt })), 'ok');
    const late = calls.run({ operation: 'Sign', attempt });
    await pass(5000);
    assert.equal(code(await late), 'KEY_MANAGER_BUSY');
  });

  test('are never more at one time than allowed', async () => {
    const { calls } = paced({ burst: 100, inFlight: 3 });
    let now = 0;
    let most = 0;
    const attempt = async () => {
      now += 1;
      most = Math.max(most, now);
      await turn();
      now -= 1;
      return ok(undefined);
    };
    await Promise.all(Array.from({ length: 20 }, () => calls.run({ operation: 'Sign', attempt })));
    assert.equal(most, 3);
  });

  test('B3 end where no answer comes, and say so to who would give it', async () => {
    const { calls, pass } = paced({ burst: 100 });
    const signals: AbortSignal[] = [];
    const never = calls.run({
      operation: 'Sign',
      attempt: (signal) => {
        signals.push(signal);
        return new Promise<Result<void>>(() => {});
      },
    });
    await pass(6000);
    assert.equal(code(await never), 'KEY_MANAGER_TIMEOUT');
    assert.ok(signals.length > 1);
    assert.ok(signals.every(({ aborted }) => aborted));
  });

  const repeats: readonly [ErrorCode, boolean][] = [
    ['KEY_MANAGER_THROTTLED', true],
    ['KEY_MANAGER_UNREACHABLE', true],
    ['KEY_MANAGER_FAULT', true],
    ['KEY_PERMISSION', false],
    ['KEY_DISABLED', false],
    ['KEY_SIGNATURE_WRONG', false],
  ];
  for (const [refusal, repeated] of repeats) {
    test(`are ${repeated ? '' : 'not '}tried again after ${refusal}`, async () => {
      const { calls, pass } = paced({ burst: 100 });
      let tries = 0;
      const attempt = async (): Promise<Result<void>> => {
        tries += 1;
        return tries < 3 ? fail(refusal, 'planted') : ok(undefined);
      };
      const done = calls.run({ operation: 'Sign', attempt });
      await pass(3000);
      assert.equal(code(await done), repeated ? 'ok' : refusal);
      assert.equal(tries, repeated ? 3 : 1);
    });
  }

  test('give up at the deadline with the refusal that was there last', async () => {
    const { calls, pass, clock } = paced({ burst: 100, perSecond: 1000 });
    const times: number[] = [];
    const attempt = async () => {
      times.push(clock.monotonicMs());
      return fail('KEY_MANAGER_THROTTLED', 'planted');
    };
    const done = calls.run({ operation: 'Sign', attempt });
    await pass(6000);
    assert.equal(code(await done), 'KEY_MANAGER_THROTTLED');
    assert.ok(times.every((ms) => ms < 5000));
    // Pauses grow, up to a second.
    assert.ok(times.length >= 6 && times.length <= 14, `${times.length}`);
  });
});
