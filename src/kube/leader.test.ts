import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type BusyKube, busyKube, moved } from '../../test/support/busy-kube.ts';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { assertValue } from '../../test/support/refused.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { openKubeApi } from './kube-api.ts';
import { type LeaderElection, startLeaderElection } from './leader.ts';
import { textAt } from './objects.ts';

const LEASES = '/apis/coordination.k8s.io/v1/leases';
const RETRY_MS = 2_000;
const RENEW_MS = 4_000;

/** One process that stands for the lease, with a clock of its own. */
interface Candidate {
  readonly kube: BusyKube;
  readonly election: LeaderElection;
  readonly clock: ManualClock;
  readonly told: boolean[];
  /** Codes of what it warned of. */
  readonly warnings: unknown[];
}

async function candidate(
  context: TestContext,
  fake: FakeKube,
  identity: string,
): Promise<Candidate> {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const { kubeconfigPath } = fake;
  const kube = busyKube(assertValue(await openKubeApi({ kubeconfigPath }, { clock })));
  const warnings: unknown[] = [];
  const warn = (facts: object): void => void warnings.push('code' in facts ? facts.code : facts);
  const election = startLeaderElection({
    api: kube.api,
    namespace: 'signet',
    name: 'controllers',
    identity,
    clock,
    random: seededRandom(5),
    log: { info: () => {}, warn },
  });
  const told: boolean[] = [];
  election.onChange((leader) => told.push(leader));
  context.after(async () => {
    await election.stop();
    kube.api.close();
  });
  return { kube, election, clock, told, warnings };
}

async function rig(context: TestContext): Promise<FakeKube> {
  const fake = await FakeKube.start();
  context.after(() => fake.stop());
  return fake;
}

/** Lets real time pass, not theirs, until something holds. */
async function settled(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Lets one candidate look at the lease so many times. */
async function looks(candidate: Candidate, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const calls = (): number => candidate.kube.begun('get') + candidate.kube.begun('update');
    const before = calls();
    await moved(candidate, () => calls() > before);
    await settled(() => !candidate.kube.busy());
  }
}

describe('a lease', () => {
  test('is led by one of those who stand for it, and stays with it', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    const b = await candidate(context, fake, 'b');
    await looks(b, 3);
    // Longer than the lease lasts: it is renewed.
    await looks(a, 10);
    await looks(b, 2);
    assert.deepEqual([a.election.isLeader(), b.election.isLeader()], [true, false]);
    assert.deepEqual([a.told, b.told], [[true], []]);
    assert.equal(a.election.term?.aborted, false);
  });

  test('ends for a leader that cannot renew, before another can take it', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    const { term } = a.election;
    const b = await candidate(context, fake, 'b');
    await looks(b, 1);
    fake.fault = () => 'reset';
    // Nothing was renewed since the start of its clock.
    a.clock.advance(9_999);
    assert.deepEqual([a.election.isLeader(), term?.aborted], [true, false]);
    a.clock.advance(1);
    // Nobody asked: the fence has its own timer.
    assert.deepEqual([term?.aborted, a.told], [true, [true, false]]);
    assert.equal(a.election.isLeader(), false);
    b.clock.advance(10_000);
    assert.equal(b.election.isLeader(), false);
    fake.fault = () => undefined;
  });

  test('is taken by another when it was not renewed for its whole time', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    const b = await candidate(context, fake, 'b');
    await looks(b, 1);
    // The leader's machine sleeps: its clock stands still.
    const from = b.clock.monotonicMs();
    await moved(b, () => b.election.isLeader());
    assert.ok(b.clock.monotonicMs() - from >= 15_000 - RETRY_MS);
    assert.equal(textAt(leaseOf(fake), 'spec', 'holderIdentity'), 'b');
    // It wakes: the wall clock has gone on, and that is enough.
    a.clock.setWallClock(a.clock.nowMs() + 15_000);
    assert.equal(a.election.isLeader(), false);
    await looks(a, 1);
    assert.deepEqual([a.election.isLeader(), b.election.isLeader()], [false, true]);
  });

  test('is not taken early from a leader whose clock is wrong', async (context) => {
    const fake = await rig(context);
    const spec = {
      holderIdentity: 'x',
      leaseDurationSeconds: 15,
      renewTime: '2001-01-01T00:00:00Z',
    };
    fake.put(LEASES, { metadata: { name: 'controllers', namespace: 'signet' }, spec });
    const b = await candidate(context, fake, 'b');
    await looks(b, 5);
    assert.equal(b.election.isLeader(), false);
    await moved(b, () => b.election.isLeader());
    assert.ok(b.clock.monotonicMs() >= 15_000);
  });

  test('that is free is taken at once, and by one of two', async (context) => {
    const fake = await rig(context);
    const [a, b] = await Promise.all([
      candidate(context, fake, 'a'),
      candidate(context, fake, 'b'),
    ]);
    await settled(() => a.election.isLeader() || b.election.isLeader());
    await looks(a, 1);
    await looks(b, 1);
    assert.equal(Number(a.election.isLeader()) + Number(b.election.isLeader()), 1);
  });

  test('is given back at the end, so that another need not wait', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    const { term } = a.election;
    await a.election.stop();
    assert.deepEqual([a.election.isLeader(), term?.aborted], [false, true]);
    assert.equal(textAt(leaseOf(fake), 'spec', 'holderIdentity'), '');
    const b = await candidate(context, fake, 'b');
    await settled(() => b.election.isLeader());
    assert.equal(b.clock.monotonicMs(), 0);
  });

  test('is lost when another wrote itself into it', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    fake.put(LEASES, {
      ...leaseOf(fake),
      spec: { holderIdentity: 'x', leaseDurationSeconds: 15 },
    });
    await moved(a, () => !a.election.isLeader());
    assert.ok(a.clock.monotonicMs() <= 1.25 * RENEW_MS);
    assert.deepEqual(a.told, [true, false]);
  });

  test('costs its leader one call for each renewal', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader() && !a.kube.busy());
    const reads = a.kube.begun('get');
    await moved(a, () => a.clock.monotonicMs() >= 60_000);
    assert.equal(a.kube.begun('get'), reads);
    assert.ok(a.kube.begun('update') <= 60_000 / RENEW_MS);
    assert.deepEqual(a.told, [true]);
  });

  test('stays with a leader whose lease somebody annotated, or whose renewals failed for a while', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    fake.put(LEASES, leaseOf(fake));
    const written = a.kube.begun('update');
    // A conflict, a look, and the renewal.
    await moved(a, () => a.kube.begun('update') >= written + 2);
    await settled(() => !a.kube.busy());
    const fromMs = a.clock.monotonicMs();
    fake.fault = () => 'reset';
    await moved(a, () => a.clock.monotonicMs() >= fromMs + RENEW_MS + RETRY_MS);
    fake.fault = () => undefined;
    await looks(a, 3);
    assert.deepEqual([a.election.isLeader(), a.told], [true, [true]]);
  });

  test('that is out of reach is told of once a minute, and again after it was had', async (context) => {
    const fake = await rig(context);
    fake.fault = () => ({ status: 403 });
    const a = await candidate(context, fake, 'a');
    await looks(a, 5);
    assert.deepEqual(a.warnings, ['KUBE_FORBIDDEN']);
    a.clock.advance(60_000);
    await looks(a, 5);
    assert.deepEqual(a.warnings, ['KUBE_FORBIDDEN', 'KUBE_FORBIDDEN']);
    fake.fault = () => undefined;
    await moved(a, () => a.election.isLeader());
    fake.fault = () => ({ status: 403 });
    await looks(a, 2);
    assert.equal(a.warnings.filter((code) => code === 'KUBE_FORBIDDEN').length, 3);
  });

  test('counts from when a renewal was sent, not from its answer', async (context) => {
    const fake = await rig(context);
    const a = await candidate(context, fake, 'a');
    await settled(() => a.election.isLeader());
    const first = a.election.term;
    const { promise: after, resolve } = Promise.withResolvers<void>();
    let sentAtMs = 0;
    fake.fault = ({ method }) => {
      if (method !== 'PUT') return undefined;
      sentAtMs ||= a.clock.monotonicMs();
      return { after };
    };
    await moved(a, () => sentAtMs > 0);
    const sinceMs = (): number => a.clock.monotonicMs() - sentAtMs;
    a.clock.advance(9_000 - sinceMs());
    // The answer is late: the term before is over, and what it grants is nearly so.
    assert.deepEqual([a.election.isLeader(), first?.aborted], [false, true]);
    fake.fault = () => 'silence';
    resolve();
    await settled(() => a.election.isLeader());
    const second = a.election.term;
    assert.notEqual(second, first);
    a.clock.advance(9_999 - sinceMs());
    assert.equal(a.election.isLeader(), true);
    a.clock.advance(1);
    assert.deepEqual([second?.aborted, a.told], [true, [true, false, true, false]]);
  });
});

function leaseOf(fake: FakeKube): ReturnType<FakeKube['put']> {
  const lease = fake.object(LEASES, 'signet/controllers');
  assert.ok(lease !== undefined);
  return lease;
}
