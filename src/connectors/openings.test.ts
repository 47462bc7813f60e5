import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { createOpenings } from './openings.ts';

function openings(sessionsPerSecond: number, heartbeatSeconds = 30) {
  const clock = new ManualClock(1_800_000_000_000);
  const random = seededRandom(7);
  return { clock, made: createOpenings({ sessionsPerSecond, clock, random, heartbeatSeconds }) };
}

describe('reconnect_spread_ms: in how long a time those that lost the server come back', () => {
  const cases: readonly [connectors: number, perSecond: number, heartbeat: number, ms: number][] = [
    [0, 300, 30, 2000],
    [600, 300, 30, 2000],
    [601, 300, 30, 2004],
    [5000, 300, 30, 16_667],
    [17_999, 300, 30, 59_997],
    [18_000, 300, 30, 60_000],
    [18_001, 300, 30, 60_000],
    [1_000_000, 1, 10, 20_000],
    [1_000_000, 1, 1, 2000],
  ];
  for (const [connectors, perSecond, heartbeat, ms] of cases) {
    it(`${connectors} connectors, ${perSecond} a second, a heartbeat of ${heartbeat} s: ${ms} ms`, () => {
      assert.equal(openings(perSecond, heartbeat).made.spreadMs(connectors), ms);
    });
  }
});

describe('openings of sessions', () => {
  it('one connector may begin 20 at once and one a second, and uses up nothing of the others', () => {
    const { clock, made } = openings(1000);
    const admit = (id: string) => made.admit(id).ok;
    assert.deepEqual([...Array(21).keys()].map(() => admit('greedy')).filter(Boolean).length, 20);
    assert.equal(admit('other'), true);
    clock.advance(1000);
    assert.deepEqual([admit('greedy'), admit('greedy')], [true, false]);
  });

  it('the pace may change while it goes', () => {
    const clock = new ManualClock(1_800_000_000_000);
    const options = { sessionsPerSecond: 2, clock, random: seededRandom(7), heartbeatSeconds: 30 };
    const made = createOpenings(options);
    const admitted = (): number =>
      [...Array(9).keys()].filter((at) => made.admit(`c${at}`).ok).length;
    assert.equal(admitted(), 2);
    options.sessionsPerSecond = 5;
    clock.advance(1000);
    assert.equal(admitted(), 5);
    assert.equal(made.spreadMs(100), 20_000);
    options.sessionsPerSecond = 1;
    clock.advance(10_000);
    assert.equal(admitted(), 1, 'what was saved up at another pace is not spent at this one');
  });

  it('who is refused is told to come again after a second to ten', () => {
    const { made } = openings(1);
    assert.equal(made.admit('first').ok, true);
    for (let at = 0; at < 100; at++) {
      const refused = made.admit(`connector-${at}`);
      assert.equal(refused.ok, false);
      const waitMs = refused.ok ? 0 : Number(refused.error.details.retryAfterMs);
      assert.ok(waitMs >= 1000 && waitMs <= 10_000, `${waitMs}`);
    }
  });
});
