import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryAuthorityStore, SILENT, TRUST_DOMAIN } from '../../test/support/issuance.ts';
import { Fleet, settled } from '../../test/support/propagation.ts';
import { ManualClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { type Result, unwrap } from '../base/result.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { createAuthorityManager } from './authority-manager.ts';
import { barrierDeadlineMs, describeMissing } from './barrier.ts';
import type { JournalEntry } from './journal.ts';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 0, 1);
const DAY_SECONDS = 86_400;
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** A started manager at the moment before the successors are due to sign: 20 h. */
async function beforeActivation(options: { readonly leafHours?: number } = {}) {
  const clock = new ManualClock(START_MS);
  const store = new MemoryAuthorityStore();
  const fleet = new Fleet();
  const metrics = createMetrics('test');
  const { leafHours = 1 } = options;
  const authorities = createAuthorityManager({
    trustDomain: TRUST_DOMAIN,
    keys: createMemoryKeyManager(),
    store,
    clock,
    random: systemRandom,
    log: SILENT,
    metrics,
    propagation: fleet,
    propagationWaitSeconds: 7200,
    longestLeafSeconds: () => leafHours * 3600,
  });
  unwrap(await authorities.start());
  clock.advance(12 * HOUR_MS);
  await store.reached(6n);
  clock.advance(8 * HOUR_MS - 1);
  await settled();
  const state = (kind: 'x509' | 'jwt' = 'x509') => authorities.list(kind).map((each) => each.state);
  const metric = async (name: string, labels: Readonly<Record<string, string>>) => {
    const found = await metrics.registry.getSingleMetric(`test_${name}`)?.get();
    const same = found?.values.find((value) =>
      Object.entries(labels).every(([label, text]) => value.labels[label] === text),
    );
    return same?.value;
  };
  const next = authorities.list('x509').find((each) => each.state === 'published')?.authorityId;
  return { authorities, clock, store, fleet, state, metric, next: next ?? '' };
}

describe('the hard deadline of the barrier', () => {
  // Published at 12 h, due at 20 h, the old one ends at 24 h.
  const replaced = { issuedAtSeconds: 0, notAfterSeconds: DAY_SECONDS } as JournalEntry;
  const cases: readonly [string, number | undefined, number, number, number, number][] = [
    ['is the configured wait after it was due', 20, 12, 2, 1, 22],
    ['counts from the publication where that came later', 20, 21, 2, 1, 23],
    ['is one leaf before the end of the old one, where that is earlier', 20, 12, 4, 1, 23],
    ['may have passed at once', 20, 12, 4, 6, 18],
    ['knows no configured wait by hand', undefined, 12, 2, 1, 23],
    ['is when it was due where the configuration waits for nobody', 20, 12, 0, 1, 20],
  ];
  for (const [name, due, published, wait, leaf, deadline] of cases) {
    test(name, () => {
      const facts = {
        dueMs: due === undefined ? undefined : due * HOUR_MS,
        publishedAtMs: published * HOUR_MS,
        waitMs: wait * HOUR_MS,
        replaced,
        longestLeafMs: leaf * HOUR_MS,
      };
      assert.equal(barrierDeadlineMs(facts), deadline * HOUR_MS);
    });
  }
});

describe('the propagation barrier', () => {
  test('I5 an authority that is due signs at once where every agent has its bundle', async () => {
    const { authorities, clock, store, fleet, state } = await beforeActivation();
    assert.deepEqual(fleet.asked, [], 'nobody is asked before it is due');
    clock.advance(1);
    await store.reached(8n);
    assert.deepEqual(state(), ['old', 'active']);
    const [x509, jwt] = fleet.asked;
    assert.deepEqual(x509, { kind: 'x509', sequence: 3n, publishedAtMs: START_MS + 12 * HOUR_MS });
    assert.deepEqual(jwt, { kind: 'jwt', sequence: 4n, publishedAtMs: START_MS + 12 * HOUR_MS });
    await authorities.close();
  });

  test('I5 it waits for an agent, and signs when that agent has it', async () => {
    const { authorities, clock, store, fleet, state, metric } = await beforeActivation();
    fleet.agents = ['agent-1', 'agent-2'];
    clock.advance(1);
    await fleet.nextAsked();
    assert.deepEqual(state(), ['active', 'published']);
    assert.equal(await metric('authority_propagation_waiting_agents', { kind: 'x509' }), 2);
    const asked = fleet.nextAsked();
    fleet.leaves('agent-2');
    await asked;
    assert.deepEqual(state(), ['active', 'published']);
    fleet.leaves();
    await store.reached(8n);
    assert.deepEqual(state(), ['old', 'active']);
    assert.deepEqual(state('jwt'), ['old', 'active']);
    assert.equal(await metric('authority_propagation_waiting_agents', { kind: 'x509' }), 0);
    assert.equal(
      await metric('authority_propagation_overruled_total', { kind: 'x509' }),
      undefined,
    );
    await authorities.close();
  });

  test('looks again every ten seconds: agents also leave by their silence', async () => {
    const { authorities, clock, store, fleet, state } = await beforeActivation();
    fleet.agents = ['agent-1'];
    clock.advance(1);
    await fleet.nextAsked();
    const { length } = fleet.asked;
    clock.advance(9999);
    await settled();
    assert.equal(fleet.asked.length, length);
    fleet.agents = [];
    clock.advance(1);
    await store.reached(8n);
    assert.deepEqual(state(), ['old', 'active']);
    await authorities.close();
  });

  for (const [name, leafHours, deadlineHours] of [
    ['the configured wait', 1, 2],
    ['one leaf before the end of the old one', 3, 1],
  ] as const) {
    test(`${name} ends the waiting, with an alarm`, async () => {
      const { authorities, clock, store, fleet, state, metric } = await beforeActivation({
        leafHours,
      });
      fleet.agents = ['agent-1'];
      clock.advance(1);
      await fleet.nextAsked();
      const asked = fleet.nextAsked();
      clock.advance(deadlineHours * HOUR_MS - 1);
      await asked;
      assert.deepEqual(state(), ['active', 'published']);
      clock.advance(1);
      await store.reached(8n);
      assert.deepEqual(state(), ['old', 'active']);
      const labels = { kind: 'x509', reason: 'deadline' };
      assert.equal(await metric('authority_propagation_overruled_total', labels), 1);
      await authorities.close();
    });
  }

  test('is not asked for the first authority, nor where nothing else can sign', async () => {
    const clock = new ManualClock(START_MS);
    const fleet = new Fleet();
    fleet.agents = ['agent-1'];
    const parts = { trustDomain: TRUST_DOMAIN, random: systemRandom, log: SILENT, clock };
    const store = new MemoryAuthorityStore();
    for (let lives = 0; lives < 2; lives++) {
      const authorities = createAuthorityManager({
        ...parts,
        store,
        keys: createMemoryKeyManager(),
        metrics: createMetrics('test'),
        propagation: fleet,
      });
      unwrap(await authorities.start());
      assert.equal(code(authorities.currentX509()), 'ok');
      await authorities.close();
    }
    assert.deepEqual(fleet.asked, []);
  });

  test('is tried again where nobody can say who has the bundle', async () => {
    const { authorities, clock, store, fleet, state } = await beforeActivation();
    fleet.refuses = true;
    clock.advance(1);
    await fleet.nextAsked();
    assert.deepEqual(state(), ['active', 'published']);
    fleet.refuses = false;
    clock.advance(1000);
    await store.reached(8n);
    assert.deepEqual(state(), ['old', 'active']);
    await authorities.close();
  });

  test('by hand: waits twenty seconds and then says who is missing', async () => {
    const { authorities, clock, fleet, state, next } = await beforeActivation();
    clock.setWallClock(START_MS + 13 * HOUR_MS);
    fleet.agents = ['spiffe://example.org/spire/agent/a'];
    const asked = fleet.nextAsked();
    const activating = authorities.activate('x509', next, { force: false });
    await asked;
    const again = fleet.nextAsked();
    clock.advance(20_000);
    await again;
    const refused = await activating;
    assert.equal(code(refused), 'AUTHORITY_NOT_PROPAGATED');
    assert.match(refused.ok ? '' : refused.error.message, /1 agent does not have .*\/agent\/a$/);
    assert.deepEqual(state(), ['active', 'published']);
    await authorities.close();
  });

  test('by hand: goes on as soon as the agents have it', async () => {
    const { authorities, clock, fleet, state, next } = await beforeActivation();
    clock.setWallClock(START_MS + 13 * HOUR_MS);
    fleet.agents = ['agent-1'];
    const asked = fleet.nextAsked();
    const activating = authorities.activate('x509', next, { force: false });
    await asked;
    fleet.leaves();
    assert.equal(unwrap(await activating).state, 'active');
    assert.deepEqual(state(), ['old', 'active']);
    await authorities.close();
  });

  test('by hand with force: waits for nobody, with an alarm', async () => {
    const { authorities, clock, fleet, state, metric, next } = await beforeActivation();
    clock.setWallClock(START_MS + 13 * HOUR_MS);
    fleet.agents = ['agent-1'];
    assert.equal(unwrap(await authorities.activate('x509', next, { force: true })).state, 'active');
    assert.deepEqual(state(), ['old', 'active']);
    const labels = { kind: 'x509', reason: 'force' };
    assert.equal(await metric('authority_propagation_overruled_total', labels), 1);
    await authorities.close();
  });

  test('by hand with force: not even for the answer who is missing', async () => {
    const { authorities, clock, fleet, state, next } = await beforeActivation();
    clock.setWallClock(START_MS + 13 * HOUR_MS);
    fleet.refuses = true;
    const activated = await authorities.activate('x509', next, { force: true });
    assert.equal(code(activated), 'ok');
    assert.deepEqual(state(), ['old', 'active']);
    await authorities.close();
  });
});

test('a refusal names five agents and counts the others', () => {
  const agents = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  assert.match(describeMissing(agents.slice(0, 1)), /^1 agent does .*: a$/);
  assert.match(describeMissing(agents.slice(0, 5)), /^5 agents do .*: a, b, c, d, e$/);
  assert.match(describeMissing(agents), /^7 agents do .*: a, b, c, d, e and 2 more$/);
});
