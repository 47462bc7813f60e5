import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneAtATime } from './one-at-a-time.ts';

test('actions of one key run one after another, those of others at once', async () => {
  const run = oneAtATime();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = run('a', async () => {
    log.push('a1 begins');
    await gate.promise;
    log.push('a1 ends');
  });
  const second = run('a', async () => void log.push('a2'));
  await run('b', async () => void log.push('b'));
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(log, ['a1 begins', 'b', 'a1 ends', 'a2']);
});

test('an action that fails does not hold up the next, and fails its own caller', async () => {
  const run = oneAtATime();
  const failed = run('a', () => Promise.reject(new TypeError('no')));
  const next = run('a', async () => 'done');
  await assert.rejects(failed, TypeError);
  assert.equal(await next, 'done');
});
