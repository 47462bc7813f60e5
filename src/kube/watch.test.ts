import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { COLLECTION, listsOf, pod, until, watchRig } from '../../test/support/kube-watch.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { kubeMetricsOf } from './metrics.ts';
import { type KubeObject, textAt } from './objects.ts';

describe('a watch', () => {
  test('lists, then tells each change', async (context) => {
    const { fake, watch, told, heard } = await watchRig(context, {
      before: (kube) => void kube.put(COLLECTION, pod('a', '1')),
    });
    assert.equal(watch.synced, false);
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('b', '2'));
    fake.put(COLLECTION, pod('a', '3'));
    fake.remove(COLLECTION, 'n/b');
    await heard('-n/b 2');
    assert.deepEqual(told, ['+n/a 1', 'synced', '+n/b 2', '+n/a 1>3', '-n/b 2']);
    assert.deepEqual([...watch.entries()], [['n/a', '3']]);
    assert.deepEqual([watch.get('n/a'), watch.get('n/b'), watch.size], ['3', undefined, 1]);
    assert.deepEqual([watch.synced, watch.problem], [true, undefined]);
  });

  test('lists by pages', async (context) => {
    const { fake, watch } = await watchRig(context, {
      pageSize: 7,
      before(kube) {
        for (let i = 0; i < 50; i++) kube.put(COLLECTION, pod(`p${i}`, String(i)));
      },
    });
    await watch.whenSynced();
    assert.equal(watch.size, 50);
    assert.equal(listsOf(fake), 8);
  });

  test('asks for no more than what the selectors name', async (context) => {
    const { fake, watch } = await watchRig(context, {
      fieldSelector: 'spec.nodeName=node-1',
      labelSelector: 'a=b',
      before(kube) {
        const labelled = { name: 'x', namespace: 'n', labels: { a: 'b' } };
        kube.put(COLLECTION, { metadata: labelled, spec: { nodeName: 'node-1', note: '' } });
        kube.put(COLLECTION, pod('y'));
      },
    });
    await watch.whenSynced();
    await fake.whenWatching();
    assert.deepEqual([...watch.entries()], [['n/x', '']]);
    for (const { query } of fake.calls) {
      assert.equal(query.get('fieldSelector'), 'spec.nodeName=node-1');
      assert.equal(query.get('labelSelector'), 'a=b');
    }
  });

  test('keeps nothing of what the projection does not want, and lets go of it', async (context) => {
    const wanted = (object: KubeObject): string | undefined => {
      const note = textAt(object, 'spec', 'note');
      return note === 'no' ? undefined : note;
    };
    const { fake, watch, told, heard } = await watchRig(context, {
      project: wanted,
      before: (kube) => void kube.put(COLLECTION, pod('a', 'no')),
    });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('b', 'yes'));
    fake.put(COLLECTION, pod('b', 'no'));
    await heard('-n/b yes');
    assert.deepEqual(told, ['synced', '+n/b yes', '-n/b yes']);
    assert.equal(watch.size, 0);
  });

  test('goes on where it was when the server ends it, without a list', async (context) => {
    const { fake, watch, told, heard } = await watchRig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', '1'));
    await heard('+n/a 1');
    fake.endWatches();
    fake.put(COLLECTION, pod('b', '2'));
    await heard('+n/b 2');
    assert.deepEqual(told, ['synced', '+n/a 1', '+n/b 2']);
    assert.equal(listsOf(fake), 1);
    assert.equal(watch.problem, undefined);
  });

  test('goes on from a bookmark', async (context) => {
    const rig = await watchRig(context);
    const { fake, watch } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put('/api/v1/nodes', { metadata: { name: 'elsewhere' } });
    fake.bookmark();
    fake.compact();
    fake.endWatches();
    const again = (async () => {
      while (fake.calls.filter(({ query }) => query.has('watch')).length < 2) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await fake.whenWatching();
    })();
    await until(rig, again);
    assert.equal(listsOf(fake), 1);
  });

  test('takes an object of two million bytes', async (context) => {
    const { fake, watch, heard } = await watchRig(context, {
      project: (object) => String(textAt(object, 'spec', 'note')?.length),
    });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', 'x'.repeat(2_000_000)));
    await heard('+n/a 2000000');
  });

  test('at rest asks nothing', async (context) => {
    const { fake, watch, clock } = await watchRig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    const calls = fake.calls.length;
    clock.advance(299_000);
    fake.bookmark();
    assert.equal(fake.calls.length, calls);
  });

  test('stops at once, wherever it is, and tells nothing more', async (context) => {
    const { fake, watch, told } = await watchRig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    await watch.stop();
    fake.put(COLLECTION, pod('a', '1'));
    assert.deepEqual(told, ['synced']);
    const waiting = await watchRig(context, {
      before(kube) {
        kube.fault = () => 'reset';
      },
    });
    await waiting.watch.stop();
    await waiting.watch.whenSynced();
    assert.equal(waiting.watch.synced, false);
  });

  test('shows how many objects it holds, and how often it began again', async (context) => {
    const metrics = createMetrics('t');
    const { fake, watch, heard } = await watchRig(context, { metrics: kubeMetricsOf(metrics) });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', '1'));
    await heard('+n/a 1');
    fake.endWatches();
    fake.put(COLLECTION, pod('b', '2'));
    await heard('+n/b 2');
    const text = await metrics.registry.metrics();
    assert.match(text, /kube_watch_objects\{cluster="default",resource="pods"\} 2/);
    assert.match(
      text,
      /watch_restarts_total\{cluster="default",resource="pods",reason="closed"\} 1/,
    );
    await watch.stop();
    assert.doesNotMatch(await metrics.registry.metrics(), /kube_watch_objects\{/);
  });
});
