import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEnrolled, judgeZpa, noStatus, takeFact, type ZpaStatus } from './judge.ts';
import { type ZpaSettings, zpaWatcherSchema } from './settings.ts';
import type { StatusFact } from './status-facts.ts';

const AT_MS = Date.UTC(2026, 10, 1);
// The schema answers undefined for undefined only.
const SETTINGS = zpaWatcherSchema.parse({ logPath: '/log' }) as ZpaSettings;

function after(...facts: readonly StatusFact[]): ZpaStatus {
  return facts.reduce((status, fact) => takeFact(status, fact, AT_MS), noStatus(AT_MS));
}

const GOOD: readonly StatusFact[] = [
  { kind: 'connector', id: '1', name: 'a', version: '2' },
  { kind: 'certificate', seconds: 100 * 86_400 },
  { kind: 'control', connected: true, state: 'fohh_connection_connected' },
  { kind: 'skew', seconds: -0.01 },
  { kind: 'flows', active: 7 },
  { kind: 'apps', registered: 3, alive: 2 },
  { kind: 'targets', registered: 5, alive: 4 },
];
const DOWN: StatusFact = { kind: 'control', connected: false, state: 'fohh_connection_down' };

test('a good status is ok, with what was seen', () => {
  const { health, reason, facts, activeFlows } = judgeZpa(after(...GOOD), SETTINGS, AT_MS);
  assert.deepEqual([health, reason, activeFlows], ['ok', '', 7]);
  assert.deepEqual(facts, {
    id: '1',
    name: 'a',
    version: '2',
    certificateDays: 100,
    controlConnection: 'fohh_connection_connected',
    clockSkewSeconds: -0.01,
    registeredApps: 3,
    aliveApps: 2,
    registeredTargets: 5,
    aliveTargets: 4,
  });
});

test('before the first status it is not known, and degrades nothing', () => {
  const { health, facts, activeFlows } = judgeZpa(noStatus(AT_MS), SETTINGS, AT_MS);
  assert.deepEqual([health, facts, activeFlows], ['unknown', {}, undefined]);
});

const CASES: readonly (readonly [string, ZpaStatus, number, RegExp | undefined])[] = [
  ['silent for 180 s - 1 ms', after(...GOOD), 179_999, undefined],
  ['silent for 180 s', after(...GOOD), 180_000, /^no status in \/log since .*runs$/],
  ['never seen for 180 s', noStatus(AT_MS), 180_000, /^no status in \/log yet; watched since/],
  ['14 days left', after(...GOOD, { kind: 'certificate', seconds: 14 * 86_400 }), 0, undefined],
  [
    '14 days less a second',
    after(...GOOD, { kind: 'certificate', seconds: 14 * 86_400 - 1 }),
    0,
    /^its certificate ends in 13 days: have Zscaler renew it/,
  ],
  [
    'ended a second ago',
    after(...GOOD, { kind: 'certificate', seconds: 0 }),
    1000,
    /certificate has ended/,
  ],
  ['disconnected for 2 min - 1 ms', after(...GOOD, DOWN), 119_999, undefined],
  [
    'disconnected for 2 min',
    after(...GOOD, DOWN),
    120_000,
    /^control connection fohh_connection_down since .*443/,
  ],
  ['a skew of 5 s', after(...GOOD, { kind: 'skew', seconds: 5 }), 0, undefined],
  ['a skew of 5.1 s', after(...GOOD, { kind: 'skew', seconds: 5.1 }), 0, /^its clock is 5.1 s/],
  ['a skew of -5.1 s', after(...GOOD, { kind: 'skew', seconds: -5.1 }), 0, /^its clock is -5.1 s/],
];

for (const [what, status, laterMs, expected] of CASES) {
  test(`${what} is ${expected === undefined ? 'no reason' : 'degraded'}`, () => {
    const { health, reason } = judgeZpa(status, SETTINGS, AT_MS + laterMs);
    if (expected === undefined) assert.deepEqual([health, reason], ['ok', '']);
    else assert.match(reason, expected);
    assert.equal(health === 'degraded', expected !== undefined);
  });
}

test('a connection that is down counts from when it went down, and no longer once it is up', () => {
  const down = takeFact(after(DOWN), DOWN, AT_MS + 60_000);
  assert.equal(down.disconnectedSinceMs, AT_MS);
  const up = { kind: 'control', connected: true, state: 'up' } as const;
  assert.equal(takeFact(down, up, AT_MS + 61_000).disconnectedSinceMs, undefined);
});

test('it has enrolled when it has an ID and its control connection', () => {
  assert.ok(isEnrolled(after(...GOOD)));
  assert.ok(!isEnrolled(after(...GOOD, DOWN)));
  assert.ok(!isEnrolled(after(...GOOD.slice(1))));
  assert.ok(!isEnrolled(noStatus(AT_MS)));
});
