import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveConnection } from './connection.ts';

function connection(done: string[] = []): LiveConnection {
  return new LiveConnection({
    id: 'c',
    remoteAddress: 'unix',
    peer: { kind: 'anonymous' },
    countedAs: 'x',
    destroy: () => done.push('destroyed'),
    drain: (graceMs) => done.push(`drained ${graceMs}`),
  });
}

test('those who wait for the end are told once, and at once when it has come', () => {
  const told: string[] = [];
  const live = connection();
  live.onClose(() => told.push('early'));
  live.ended();
  live.ended();
  live.onClose(() => told.push('late'));
  assert.deepEqual(told, ['early', 'late']);
});

test('what waits until nothing holds the connection runs at the last release', () => {
  const told: string[] = [];
  const live = connection();
  const first = live.holdOpen();
  const second = live.holdOpen();
  live.whenUnheld(() => told.push('free'));
  first();
  first();
  assert.deepEqual(told, []);
  second();
  assert.deepEqual(told, ['free']);
  live.holdOpen()();
  assert.deepEqual(told, ['free']);
});

test('an unheld connection is free at once, and an ended one is not drained', () => {
  const done: string[] = [];
  const live = connection(done);
  live.whenUnheld(() => live.drain(5));
  assert.deepEqual(done, ['drained 5']);
  const release = live.holdOpen();
  live.whenUnheld(() => live.drain(6));
  live.ended();
  release();
  live.drain(7);
  assert.deepEqual(done, ['drained 5']);
});
