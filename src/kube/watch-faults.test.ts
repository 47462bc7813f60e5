import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { moved } from '../../test/support/busy-kube.ts';
import {
  COLLECTION,
  listsOf,
  pod,
  until,
  unwatched,
  watchRig,
} from '../../test/support/kube-watch.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { kubeMetricsOf } from './metrics.ts';
import { textAt } from './objects.ts';

describe('a watch, when something goes wrong,', () => {
  test('lists anew after 410, and tells what was deleted meanwhile', async (context) => {
    const rig = await watchRig(context, {
      before(kube) {
        kube.put(COLLECTION, pod('a', '1'));
        kube.put(COLLECTION, pod('b', '2', 'first'));
        kube.put(COLLECTION, pod('same', '0'));
      },
    });
    const { fake, watch, told, heard } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    // Nobody hears of it.
    fake.fault = () => 'reset';
    fake.endWatches('reset');
    await unwatched(fake);
    fake.remove(COLLECTION, 'n/a');
    fake.remove(COLLECTION, 'n/b');
    fake.put(COLLECTION, pod('b', '3', 'second'));
    fake.put(COLLECTION, pod('c', '4'));
    fake.compact();
    fake.fault = () => undefined;
    await until(rig, heard('-n/a 1'));
    assert.deepEqual(told.slice(4).sort(), ['+n/b 3', '+n/c 4', '-n/a 1', '-n/b 2']);
    assert.ok(told.indexOf('-n/b 2') < told.indexOf('+n/b 3'));
    assert.deepEqual([...watch.entries()].sort(), [
      ['n/b', '3'],
      ['n/c', '4'],
      ['n/same', '0'],
    ]);
  });

  for (const [name, status, code] of [
    ['down', undefined, 'KUBE_UNREACHABLE'],
    ['not letting it', 403, 'KUBE_FORBIDDEN'],
    ['not knowing it', 401, 'KUBE_CREDENTIALS'],
  ] as const) {
    test(`tries again while the server is ${name}, says so once, and keeps what it has`, async (context) => {
      const rig = await watchRig(context, {
        before: (kube) => void kube.put(COLLECTION, pod('a', '1')),
      });
      const { fake, watch, warnings, heard } = rig;
      await watch.whenSynced();
      await fake.whenWatching();
      const { promise: often, resolve } = Promise.withResolvers<void>();
      let tries = 0;
      fake.fault = () => {
        if (++tries === 5) resolve();
        return status === undefined ? 'reset' : { status };
      };
      fake.endWatches('reset');
      await until(rig, often);
      assert.equal(watch.problem?.code, code);
      assert.deepEqual([watch.synced, watch.get('n/a')], [true, '1']);
      assert.equal(warnings.filter((fields) => 'code' in fields && fields.code === code).length, 1);
      fake.fault = () => undefined;
      fake.put(COLLECTION, pod('b', '2'));
      await until(rig, heard('+n/b 2'));
      assert.equal(watch.problem, undefined);
    });
  }

  test('waits longer from fault to fault, up to half a minute', async (context) => {
    const atMs: number[] = [];
    const rig = await watchRig(context);
    const { fake, clock, watch } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    fake.fault = () => {
      atMs.push(clock.monotonicMs());
      return { status: 503 };
    };
    fake.endWatches('reset');
    await moved(rig, () => atMs.length >= 12);
    fake.fault = () => undefined;
    const waits = atMs.slice(1).map((ms, at) => ms - (atMs[at] ?? 0));
    assert.ok((waits.at(-1) ?? 0) >= 15_000, `${waits}`);
    assert.ok((waits[1] ?? 0) < 5_000, `${waits}`);
  });

  test('lists anew where events are garbage', async (context) => {
    for (const line of ['<html>\n', '[]\n', '{"type":"ADDED"}\n', '{"type":"X","object":{}}\n']) {
      const rig = await watchRig(context);
      const { fake, watch, heard } = rig;
      await watch.whenSynced();
      await fake.whenWatching();
      fake.say(line);
      await unwatched(fake);
      fake.put(COLLECTION, pod('a', '1'));
      await until(rig, heard('+n/a 1'));
      assert.equal(listsOf(fake), 2, line);
    }
  });

  test('ends an event that is larger than any object', async (context) => {
    const rig = await watchRig(context);
    const { fake, watch, heard, warnings } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    const chunk = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 9; i++) fake.say(chunk);
    await unwatched(fake);
    fake.put(COLLECTION, pod('a', '1'));
    await until(rig, heard('+n/a 1'));
    assert.ok(warnings.some((fields) => 'code' in fields && fields.code === 'KUBE_ANSWER'));
  });

  test('asks for smaller pages when one is too long, and for the same when it is garbage', async (context) => {
    let pages = 0;
    const rig = await watchRig(context, {
      maxAnswerBytes: 4096,
      before(kube) {
        for (let i = 0; i < 100; i++) kube.put(COLLECTION, pod(`p${i}`, 'x'.repeat(100)));
        kube.fault = ({ query }) =>
          query.has('limit') && ++pages === 3 ? { text: '{"items":[' } : undefined;
      },
    });
    const { watch, fake } = rig;
    await until(rig, watch.whenSynced());
    assert.equal(watch.size, 100);
    const limits = fake.calls.map(({ query }) => query.get('limit'));
    assert.deepEqual(limits.slice(0, 4), ['25', '4', '4', '4']);
  });

  test('forgets its version when the server refuses it again and again', async (context) => {
    const rig = await watchRig(context);
    const { fake, watch, heard } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    // A restored etcd: the version is of a future that never came.
    fake.fault = ({ query }) => (query.has('watch') ? { status: 504 } : undefined);
    fake.endWatches('reset');
    await unwatched(fake);
    fake.put(COLLECTION, pod('a', '1'));
    await until(rig, heard('+n/a 1'));
    assert.equal(listsOf(fake), 2);
  });

  test('gives a watch up that is not agreed to, and shows how old what it has is', async (context) => {
    const metrics = createMetrics('t');
    const rig = await watchRig(context, { metrics: kubeMetricsOf(metrics) });
    const { fake, watch, clock, heard } = rig;
    const stale = async (): Promise<number> => {
      const text = await metrics.registry.metrics();
      return Number(/kube_watch_stale_seconds\{.*\} (\S+)/.exec(text)?.[1]);
    };
    await watch.whenSynced();
    await fake.whenWatching();
    while ((await stale()) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    fake.fault = ({ query }) => (query.has('watch') ? 'silence' : undefined);
    const asked = fake.calls.length;
    fake.endWatches();
    while (fake.calls.length === asked) {
      if (!rig.kube.busy()) clock.advance(100);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const lostMs = watch.staleMs;
    clock.advance(29_999);
    assert.equal(watch.staleMs, lostMs + 29_999);
    assert.equal(await stale(), watch.staleMs / 1000);
    assert.equal(watch.get('n/a'), undefined);
    clock.advance(1);
    while (rig.kube.busy()) await new Promise((resolve) => setTimeout(resolve, 2));
    fake.fault = () => undefined;
    fake.put(COLLECTION, pod('a', '1'));
    await until(rig, heard('+n/a 1'));
    assert.equal(watch.staleMs, 0);
  });

  test('gives a watch up that the server should have ended long ago', async (context) => {
    const rig = await watchRig(context);
    const { fake, watch, clock } = rig;
    await watch.whenSynced();
    await fake.whenWatching();
    const asked = Number(fake.calls.at(-1)?.query.get('timeoutSeconds'));
    assert.ok(asked >= 300 && asked < 600);
    const before = fake.calls.length;
    clock.advance(asked * 1000 + 30_000);
    const again = (async () => {
      while (fake.calls.length === before) await new Promise((resolve) => setTimeout(resolve, 2));
    })();
    await until(rig, again);
  });

  test('goes on when a listener or the projection throws', async (context) => {
    const rig = await watchRig(context, {
      project(object) {
        const note = textAt(object, 'spec', 'note');
        if (note === 'throw') throw new TypeError('planted');
        return note;
      },
    });
    const { fake, watch, heard } = rig;
    watch.onChange(() => {
      throw new TypeError('planted');
    });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', 'throw'));
    fake.put(COLLECTION, pod('a', '1'));
    await until(rig, heard('+n/a 1'));
  });
});
