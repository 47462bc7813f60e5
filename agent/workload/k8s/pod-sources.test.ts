import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '../../../src/base/clock.ts';
import { SignetError } from '../../../src/base/errors.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { createLogger } from '../../../src/runtime/log.ts';
import { containerId, nodePod, podContainer } from '../../../test/support/node-pods.ts';
import { POD_SOURCES } from '../settings.ts';
import { PodIndex } from './pod-index.ts';
import { type PodSink, type PodSourceName, PodSources } from './pod-sources.ts';

const LONG_MS = 120_000;

/** A source whose end and pods the test decides. */
interface Played {
  runs: number;
  sink: PodSink | undefined;
  signal: AbortSignal | undefined;
  end: (error: SignetError) => void;
}

function rig(count = 3) {
  const clock = new ManualClock(0);
  const index = new PodIndex();
  const failures: PodSourceName[] = [];
  const played: Played[] = [];
  const sources = POD_SOURCES.slice(0, count).map((name) => {
    const one: Played = { runs: 0, sink: undefined, signal: undefined, end: () => {} };
    played.push(one);
    return {
      name,
      run: (sink: PodSink, signal: AbortSignal): Promise<SignetError> => {
        const { promise, resolve } = Promise.withResolvers<SignetError>();
        Object.assign(one, { runs: one.runs + 1, sink, signal, end: resolve });
        return promise;
      },
    };
  });
  const chosen = new PodSources({
    sources,
    index,
    clock,
    random: seededRandom(7),
    log: createLogger({ level: 'silent' }),
    onFailure: (name) => failures.push(name),
  });
  const at = (rank: number): Played => {
    const one = played[rank];
    assert.ok(one);
    return one;
  };
  return { clock, index, failures, chosen, at };
}

const away = () => new SignetError('AGENT_POD_SOURCE', 'planted');
const POD = nodePod();
const OTHER = nodePod({
  uid: 'other',
  containers: [podContainer({ containerId: containerId('c') })],
});

/** Lets what was resolved be seen. */
async function ended(one: Played): Promise<void> {
  one.end(away());
  await setImmediate();
}

describe('the sources of pods', () => {
  test('begin with the best, and ask no other while it works', () => {
    const { chosen, index, at, clock } = rig();
    chosen.start();
    assert.equal(chosen.active, undefined);
    assert.equal(chosen.ageMs, undefined);
    at(0).sink?.replace([POD]);
    assert.equal(chosen.active, 'kubelet-socket');
    assert.equal(chosen.ageMs, 0);
    clock.advance(LONG_MS);
    assert.deepEqual([at(0).runs, at(1).runs, at(2).runs], [1, 0, 0]);
    assert.equal(index.size, 1);
  });

  test('fall back one by one, and come back', async () => {
    const { chosen, index, at, clock, failures } = rig();
    chosen.start();
    await ended(at(0));
    assert.deepEqual([at(1).runs, at(2).runs], [1, 0]);
    await ended(at(1));
    assert.equal(at(2).runs, 1);
    assert.equal(chosen.problem?.code, 'AGENT_POD_SOURCE');
    at(2).sink?.replace([POD]);
    assert.equal(chosen.active, 'api-server');
    assert.equal(chosen.problem, undefined);
    clock.advance(1000);
    assert.equal(at(0).runs, 2, 'the best is tried again');
    assert.equal(chosen.active, 'api-server', 'and does not count before it has pods');
    at(0).sink?.replace([OTHER]);
    assert.equal(chosen.active, 'kubelet-socket');
    assert.equal(at(2).signal?.aborted, true);
    assert.deepEqual(index.claims(containerId('a')), []);
    assert.equal(index.claims(containerId('c')).length, 1);
    assert.deepEqual(failures, ['kubelet-socket', 'kubelet']);
  });

  test('keep the pods of one that failed until another has its own', async () => {
    const { chosen, index, at, clock } = rig();
    chosen.start();
    at(0).sink?.replace([POD]);
    await ended(at(0));
    assert.equal(chosen.active, undefined);
    assert.equal(index.size, 1);
    clock.advance(300);
    assert.equal(chosen.ageMs, 300);
    at(1).sink?.replace([OTHER]);
    assert.equal(chosen.ageMs, 0);
    assert.equal(index.size, 1);
    assert.equal(index.claims(containerId('c')).length, 1);
  });

  test('do not hear of pods from one that is no longer in use', async () => {
    const { chosen, index, at, clock } = rig();
    chosen.start();
    await ended(at(0));
    const old = at(1).sink;
    old?.replace([POD]);
    clock.advance(1000);
    at(0).sink?.replace([OTHER]);
    old?.replace([POD]);
    old?.put(POD);
    old?.remove('other');
    old?.problem(away());
    assert.equal(chosen.active, 'kubelet-socket');
    assert.equal(chosen.problem, undefined);
    assert.equal(index.size, 1);
  });

  test('do not take pods one by one from a source that has not told all', () => {
    const { chosen, index, at } = rig();
    chosen.start();
    at(0).sink?.put(POD);
    assert.equal(index.size, 0);
  });

  test('age while the one in use does not hear of changes', () => {
    const { chosen, at, clock } = rig();
    chosen.start();
    at(0).sink?.replace([POD]);
    at(0).sink?.problem(away());
    clock.advance(5000);
    at(0).sink?.problem(away());
    assert.equal(chosen.ageMs, 5000);
    at(0).sink?.problem(undefined);
    assert.equal(chosen.ageMs, 0);
  });

  test('are tried again less and less often, each for itself', async () => {
    const { chosen, at, clock } = rig(1);
    chosen.start();
    for (let round = 0; round < 40; round++) {
      await ended(at(0));
      clock.advance(60_000);
    }
    assert.equal(at(0).runs, 41);
    const { runs } = at(0);
    await ended(at(0));
    clock.advance(29_000);
    assert.equal(at(0).runs, runs, 'at last half a minute apart or more');
  });

  test('that fail while a worse one is in use do not start those between anew', async () => {
    const { chosen, at, clock } = rig();
    chosen.start();
    await ended(at(0));
    await ended(at(1));
    at(2).sink?.replace([POD]);
    clock.advance(1000);
    const { runs } = at(1);
    await ended(at(0));
    assert.equal(at(1).runs, runs);
    assert.equal(chosen.active, 'api-server');
  });

  test('end when they are stopped', async () => {
    const { chosen, at, clock } = rig();
    chosen.start();
    chosen.stop();
    assert.equal(at(0).signal?.aborted, true);
    await ended(at(0));
    clock.advance(LONG_MS);
    assert.deepEqual([at(0).runs, at(1).runs], [1, 0]);
  });
});
