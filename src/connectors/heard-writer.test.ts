import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instanceInfo } from '../../test/support/connector-state.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, ok } from '../base/result.ts';
import type { ConnectorStep } from '../store/connectors.ts';
import { HeardWriter } from './heard-writer.ts';

/** A writer over a store in which some records are damaged, or that takes nothing at all. */
function writer(damaged: readonly string[] = []) {
  const clock = new ManualClock(1_000_000);
  const written: (readonly ConnectorStep[])[] = [];
  const faults: string[] = [];
  const told: string[] = [];
  const state = { isDown: false, asked: 0 };
  const heard = new HeardWriter({
    registry: {
      async changeConnectors(changes) {
        state.asked++;
        if (state.isDown) return fail('STORE_UNAVAILABLE', 'no disk');
        if (changes.some(({ id }) => damaged.includes(id))) return fail('STORE_CORRUPT', 'damaged');
        written.push(changes);
        return ok(changes.map(() => undefined));
      },
    },
    clock,
    onFault: ({ code }) => faults.push(code),
    onDamaged: (id) => told.push(id),
  });
  const ids = () => written.flat().map(({ id }) => id);
  return { heard, clock, written, faults, told, state, ids };
}

test('damaged records keep nobody else waiting, and are told', async () => {
  const all = Array.from({ length: 1_200 }, (_, at) => `c${at}`);
  const damaged = ['c0', 'c499', 'c500', 'c777', 'c1199'];
  const { heard, faults, told, ids, state } = writer(damaged);
  for (const id of all) heard.began(id, undefined);
  await heard.close();
  assert.deepEqual(ids().sort(), all.filter((id) => !damaged.includes(id)).sort());
  assert.deepEqual([told, faults], [damaged, []]);
  assert.equal(heard.waitingMs('c777'), 0);
  // By halves: not a transaction for each of them.
  assert.ok(state.asked < 120, `${state.asked} transactions`);
});

test('a store that takes nothing is tried again later, with nothing lost', async () => {
  const { heard, clock, faults, ids, state } = writer();
  state.isDown = true;
  heard.began('a', instanceInfo({ version: '1' }));
  clock.advance(250);
  await new Promise(setImmediate);
  assert.deepEqual([faults, ids(), heard.waitingMs('a')], [['STORE_UNAVAILABLE'], [], 1_000_000]);
  state.isDown = false;
  clock.advance(5_000);
  await new Promise(setImmediate);
  assert.deepEqual([ids(), heard.waitingMs('a')], [['a'], 0]);
  await heard.close();
});

test('of one connector the newest is written, with what it said and that it began', async () => {
  const { heard, clock, written } = writer();
  const instance = instanceInfo({ version: '1' });
  heard.began('a', instance);
  heard.began('b', undefined);
  clock.advance(100);
  heard.ended('a');
  heard.ended('c');
  await heard.close();
  assert.deepEqual(
    written.flat().map(({ id, change }) => [id, change]),
    [
      ['a', { kind: 'heard', atSeconds: 1_000, began: true, instance }],
      ['b', { kind: 'heard', atSeconds: 1_000, began: true, instance: undefined }],
      ['c', { kind: 'heard', atSeconds: 1_000, began: false, instance: undefined }],
    ],
  );
});
