import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { ok } from '../base/result.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { textAt } from '../kube/objects.ts';
import { type PodEvent, PodEvents } from './pod-events.ts';

function setUp() {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const told: string[] = [];
  const api: Pick<KubeApi, 'request'> = {
    request: async ({ body = {} }) => {
      told.push(textAt(body as Record<string, unknown>, 'message') ?? '');
      return ok({});
    },
  };
  const events = new PodEvents({ api, clock, random: seededRandom(1) });
  const tell = (message: string, type: PodEvent['type'] = 'Normal'): void =>
    events.tell({ pod: { namespace: 'shop', name: 'web', uid: 'u' }, type, reason: 'R', message });
  /** Lets what is due be told, and all that follows from it. */
  const pass = async (ms: number): Promise<void> => {
    for (let gone = 0; gone < ms; gone += 50) {
      clock.advance(50);
      await setImmediate();
    }
  };
  return { events, told, tell, pass };
}

test('one event is told at once', () => {
  const { told, tell } = setUp();
  tell('a');
  assert.deepEqual(told, ['a']);
});

test('a burst is told twenty a second, refusals before what went well', async () => {
  const { told, tell, pass } = setUp();
  for (let index = 0; index < 100; index += 1) tell(`n${index}`);
  tell('refused', 'Warning');
  await pass(1_000);
  assert.ok(told.length <= 22, `${told.length}`);
  assert.deepEqual(told.slice(0, 4), ['n0', 'n1', 'refused', 'n2']);
  await pass(5_000);
  assert.equal(told.length, 101);
});

test('what waits at the end is not told', async () => {
  const { events, told, tell, pass } = setUp();
  for (let index = 0; index < 10; index += 1) tell(`n${index}`);
  events.stop();
  await pass(1_000);
  tell('late');
  assert.deepEqual(told, ['n0', 'n1']);
});

test('two thousand wait at most, and refusals for themselves', async () => {
  const { told, tell, pass } = setUp();
  for (let index = 0; index < 3_000; index += 1) tell('n');
  tell('refused', 'Warning');
  await pass(120_000);
  assert.equal(told.length, 2_003);
});
