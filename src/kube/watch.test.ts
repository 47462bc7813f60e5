import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { assertValue } from '../../test/support/refused.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { openKubeApi } from './kube-api.ts';
import { kubeMetricsOf } from './metrics.ts';
import type { KubeChange } from './object-cache.ts';
import { type KubeObject, textAt } from './objects.ts';
import { PODS } from './resource.ts';
import { type KubeWatch, type KubeWatchOptions, watchKube } from './watch.ts';

const COLLECTION = '/api/v1/pods';

function pod(name: string, note = '', uid?: string): object {
  const metadata = { name, namespace: 'n', ...(uid === undefined ? {} : { uid }) };
  return { metadata, spec: { nodeName: 'node-1', note } };
}

/** What one test has: the fake, a watch on it, and what that told. */
interface Rig {
  readonly fake: FakeKube;
  readonly watch: KubeWatch<string>;
  readonly clock: ManualClock;
  readonly told: string[];
  readonly warnings: object[];
  /** Answers when a change was told that reads so. */
  heard(text: string): Promise<void>;
}

async function rig(
  context: TestContext,
  {
    before = () => {},
    ...options
  }: Partial<KubeWatchOptions<string>> & { before?: (fake: FakeKube) => void } = {},
): Promise<Rig> {
  const fake = await FakeKube.start();
  const clock = new ManualClock(0);
  const { kubeconfigPath } = fake;
  const metrics = options.metrics;
  const api = assertValue(await openKubeApi({ kubeconfigPath }, { clock, metrics }));
  before(fake);
  const warnings: object[] = [];
  const told: string[] = [];
  const waiting = new Map<string, () => void>();
  const watch = watchKube<string>({
    api,
    resource: PODS,
    project: (object) => textAt(object, 'spec', 'note'),
    clock,
    random: seededRandom(3),
    log: { info: () => {}, warn: (fields: object) => void warnings.push(fields) },
    ...options,
  });
  watch.onChange((change) => {
    const text = textOf(change);
    told.push(text);
    waiting.get(text)?.();
  });
  context.after(async () => {
    await watch.stop();
    api.close();
    await fake.stop();
  });
  const heard = (text: string): Promise<void> => {
    if (told.includes(text)) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(text, resolve);
    return promise;
  };
  return { fake, watch, clock, told, warnings, heard };
}

function textOf(change: KubeChange<string>): string {
  if (change.kind === 'synced') return 'synced';
  if (change.kind === 'delete') return `-${change.key} ${change.before}`;
  return `+${change.key} ${change.before === undefined ? '' : `${change.before}>`}${change.value}`;
}

/** Moves the clock as often as something waits for it, until the promise is kept. */
async function until(clock: ManualClock, promise: Promise<unknown>): Promise<void> {
  let done = false;
  const kept = promise.then(() => {
    done = true;
  });
  while (!done) {
    clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await kept;
}

describe('a watch', () => {
  test('lists, then tells each change', async (context) => {
    const { fake, watch, told, heard } = await rig(context, {
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
    const { fake, watch } = await rig(context, {
      pageSize: 7,
      before(kube) {
        for (let i = 0; i < 50; i++) kube.put(COLLECTION, pod(`p${i}`, String(i)));
      },
    });
    await watch.whenSynced();
    assert.equal(watch.size, 50);
    assert.equal(fake.calls.filter(({ query }) => !query.has('watch')).length, 8);
  });

  test('asks for no more than what the selectors name', async (context) => {
    const { fake, watch } = await rig(context, {
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
    const { fake, watch, told, heard } = await rig(context, {
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
    const { fake, watch, told, heard } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', '1'));
    await heard('+n/a 1');
    fake.endWatches();
    fake.put(COLLECTION, pod('b', '2'));
    await heard('+n/b 2');
    assert.deepEqual(told, ['synced', '+n/a 1', '+n/b 2']);
    assert.equal(fake.calls.filter(({ query }) => !query.has('watch')).length, 1);
    assert.equal(watch.problem, undefined);
  });

  test('goes on from a bookmark', async (context) => {
    const { fake, watch, clock } = await rig(context);
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
    await until(clock, again);
    assert.equal(fake.calls.filter(({ query }) => !query.has('watch')).length, 1);
  });

  test('lists anew after 410, and tells what was deleted meanwhile', async (context) => {
    const { fake, watch, clock, told, heard } = await rig(context, {
      before(kube) {
        kube.put(COLLECTION, pod('a', '1'));
        kube.put(COLLECTION, pod('b', '2', 'first'));
        kube.put(COLLECTION, pod('same', '0'));
      },
    });
    await watch.whenSynced();
    await fake.whenWatching();
    // Nobody hears of it.
    fake.fault = () => 'reset';
    fake.endWatches('reset');
    while (fake.watching > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    fake.remove(COLLECTION, 'n/a');
    fake.remove(COLLECTION, 'n/b');
    fake.put(COLLECTION, pod('b', '3', 'second'));
    fake.put(COLLECTION, pod('c', '4'));
    fake.compact();
    fake.fault = () => undefined;
    await until(clock, heard('-n/a 1'));
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
      const { fake, watch, clock, warnings, heard } = await rig(context, {
        before: (kube) => void kube.put(COLLECTION, pod('a', '1')),
      });
      await watch.whenSynced();
      await fake.whenWatching();
      const { promise: often, resolve } = Promise.withResolvers<void>();
      let tries = 0;
      fake.fault = () => {
        if (++tries === 5) resolve();
        return status === undefined ? 'reset' : { status };
      };
      fake.endWatches('reset');
      await until(clock, often);
      assert.equal(watch.problem?.code, code);
      assert.deepEqual([watch.synced, watch.get('n/a')], [true, '1']);
      assert.equal(warnings.filter((fields) => 'code' in fields && fields.code === code).length, 1);
      fake.fault = () => undefined;
      fake.put(COLLECTION, pod('b', '2'));
      await until(clock, heard('+n/b 2'));
      assert.equal(watch.problem, undefined);
    });
  }

  test('waits longer from fault to fault, up to half a minute', async (context) => {
    const atMs: number[] = [];
    const clocks: ManualClock[] = [];
    const { fake, clock } = await rig(context, {
      before(kube) {
        kube.fault = () => {
          atMs.push(clocks[0]?.monotonicMs() ?? 0);
          return { status: 503 };
        };
      },
    });
    clocks.push(clock);
    while (atMs.length < 12) {
      clock.advance(100);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    fake.fault = () => undefined;
    const waits = atMs.slice(1).map((ms, at) => ms - (atMs[at] ?? 0));
    assert.ok((waits.at(-1) ?? 0) >= 15_000, `${waits}`);
    assert.ok((waits[1] ?? 0) < 5_000, `${waits}`);
  });

  test('lists anew where events are garbage', async (context) => {
    for (const line of ['<html>\n', '[]\n', '{"type":"ADDED"}\n', '{"type":"X","object":{}}\n']) {
      const { fake, watch, clock, heard } = await rig(context);
      await watch.whenSynced();
      await fake.whenWatching();
      fake.say(line);
      while (fake.watching > 0) await new Promise((resolve) => setTimeout(resolve, 2));
      fake.put(COLLECTION, pod('a', '1'));
      await until(clock, heard('+n/a 1'));
      assert.equal(fake.calls.filter(({ query }) => !query.has('watch')).length, 2, line);
    }
  });

  test('ends an event that is larger than any object', async (context) => {
    const { fake, watch, clock, heard, warnings } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    const chunk = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 9; i++) fake.say(chunk);
    while (fake.watching > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    fake.put(COLLECTION, pod('a', '1'));
    await until(clock, heard('+n/a 1'));
    assert.ok(warnings.some((fields) => 'code' in fields && fields.code === 'KUBE_ANSWER'));
  });

  test('takes an object of two million bytes', async (context) => {
    const { fake, watch, heard } = await rig(context, {
      project: (object) => String(textAt(object, 'spec', 'note')?.length),
    });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', 'x'.repeat(2_000_000)));
    await heard('+n/a 2000000');
  });

  test('asks for smaller pages when one is no answer', async (context) => {
    const { watch, clock, fake } = await rig(context, {
      before(kube) {
        for (let i = 0; i < 20; i++) kube.put(COLLECTION, pod(`p${i}`));
        kube.fault = ({ query }) =>
          Number(query.get('limit') ?? 0) > 10 ? { text: '{"items":[' } : undefined;
      },
    });
    await until(clock, watch.whenSynced());
    assert.equal(watch.size, 20);
    const limits = fake.calls.map(({ query }) => query.get('limit'));
    assert.deepEqual(limits.slice(0, 4), ['500', '63', '8', '8']);
  });

  test('forgets its version when the server refuses it again and again', async (context) => {
    const { fake, watch, clock, heard } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    // A restored etcd: the version is of a future that never came.
    fake.fault = ({ query }) => (query.has('watch') ? { status: 504 } : undefined);
    fake.endWatches('reset');
    while (fake.watching > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    fake.put(COLLECTION, pod('a', '1'));
    await until(clock, heard('+n/a 1'));
    assert.equal(fake.calls.filter(({ query }) => !query.has('watch')).length, 2);
  });

  test('at rest asks nothing', async (context) => {
    const { fake, watch, clock } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    const calls = fake.calls.length;
    clock.advance(299_000);
    fake.bookmark();
    assert.equal(fake.calls.length, calls);
  });

  test('gives a watch up that the server should have ended long ago', async (context) => {
    const { fake, watch, clock } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    const asked = Number(fake.calls.at(-1)?.query.get('timeoutSeconds'));
    assert.ok(asked >= 300 && asked < 600);
    const before = fake.calls.length;
    clock.advance(asked * 1000 + 30_000);
    const again = (async () => {
      while (fake.calls.length === before) await new Promise((resolve) => setTimeout(resolve, 2));
    })();
    await until(clock, again);
  });

  test('goes on when a listener or the projection throws', async (context) => {
    const { fake, watch, clock, heard } = await rig(context, {
      project(object) {
        const note = textAt(object, 'spec', 'note');
        if (note === 'throw') throw new TypeError('planted');
        return note;
      },
    });
    watch.onChange(() => {
      throw new TypeError('planted');
    });
    await watch.whenSynced();
    await fake.whenWatching();
    fake.put(COLLECTION, pod('a', 'throw'));
    fake.put(COLLECTION, pod('a', '1'));
    await until(clock, heard('+n/a 1'));
  });

  test('stops at once, wherever it is, and tells nothing more', async (context) => {
    const { fake, watch, told } = await rig(context);
    await watch.whenSynced();
    await fake.whenWatching();
    await watch.stop();
    fake.put(COLLECTION, pod('a', '1'));
    assert.deepEqual(told, ['synced']);
    const waiting = await rig(context, {
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
    const { fake, watch, heard } = await rig(context, { metrics: kubeMetricsOf(metrics) });
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
