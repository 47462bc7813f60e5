import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHealth } from './health.ts';

test('ready needs every part and check; live only those of its kind', () => {
  const health = createHealth();
  const store = health.part('store', 'opening');
  let loop: string | undefined;
  health.add('loop', 'live', () => loop);
  assert.deepEqual(health.report('live'), { ok: true, failures: {} });
  assert.deepEqual(health.report('ready'), { ok: false, failures: { store: 'opening' } });
  store.ready();
  assert.equal(health.report('ready').ok, true);
  loop = 'stuck';
  assert.deepEqual(health.report('live').failures, { loop: 'stuck' });
  assert.deepEqual(health.report('ready').failures, { loop: 'stuck' });
});

test('listeners hear of changes, and of nothing else', () => {
  const health = createHealth();
  const part = health.part('a', 'not yet');
  let heard = 0;
  const end = health.onChange(() => {
    heard++;
  });
  part.ready();
  part.ready();
  part.notReady('gone');
  part.notReady('gone');
  end();
  part.ready();
  assert.equal(heard, 2);
});

test('a name is taken once', () => {
  const health = createHealth();
  health.part('a', 'x');
  assert.throws(() => health.add('a', 'live', () => undefined), TypeError);
});
