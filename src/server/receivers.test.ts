import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fleet } from '../../test/support/propagation.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { Receivers } from './receivers.ts';

const PUBLICATION = { sequence: 7n, publishedAtMs: 0 };

test('I5 an authority waits for all receivers, also for one that came later', async () => {
  const receivers = new Receivers();
  let progress = 0;
  const end = receivers.onProgress(() => progress++);
  const [agents, cluster] = [new Fleet(), new Fleet()];
  receivers.add(agents);
  agents.agents = ['a'];
  assert.deepEqual(assertValue(await receivers.missing(PUBLICATION)), ['a']);
  receivers.add(cluster);
  cluster.agents = ['rack/ConfigMap/x'];
  assert.deepEqual(assertValue(await receivers.missing(PUBLICATION)), ['a', 'rack/ConfigMap/x']);
  assert.deepEqual(cluster.asked, [PUBLICATION]);
  agents.leaves();
  assert.deepEqual(assertValue(await receivers.missing(PUBLICATION)), ['rack/ConfigMap/x']);
  cluster.leaves();
  assert.deepEqual(assertValue(await receivers.missing(PUBLICATION)), []);
  assert.equal(progress, 2);
  end();
  cluster.leaves();
  assert.equal(progress, 2);
});

test('I5 nobody is taken to have the bundle where that cannot be told', async () => {
  const receivers = new Receivers();
  const fleet = new Fleet();
  fleet.refuses = true;
  receivers.add(fleet);
  assertRefused(await receivers.missing(PUBLICATION), 'STORE_UNAVAILABLE');
});
