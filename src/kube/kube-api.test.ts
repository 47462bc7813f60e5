import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { FakeKube, type KubeFault } from '../../test/support/fake-kube.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { ManualClock, systemClock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { type KubeApi, openKubeApi } from './kube-api.ts';
import { kubeObjects, lazyKubeObjects } from './kube-objects.ts';
import { kubeMetricsOf } from './metrics.ts';
import { metaOf, textAt } from './objects.ts';
import { NODES, PODS, pathOf } from './resource.ts';

const POD = { metadata: { name: 'p', namespace: 'n' }, spec: { nodeName: 'node-1' } };
const NAME = { ...PODS, namespace: 'n', name: 'p' };

async function opened(
  context: TestContext,
  clock = systemClock,
): Promise<{ fake: FakeKube; api: KubeApi }> {
  const fake = await FakeKube.start();
  const { kubeconfigPath } = fake;
  const api = assertValue(await openKubeApi({ kubeconfigPath }, { clock }));
  context.after(async () => {
    api.close();
    await fake.stop();
  });
  return { fake, api };
}

const get = { verb: 'get', path: '/api/v1/namespaces/n/pods/p' } as const;

describe('calls to an API server', () => {
  test('make, read, replace and delete an object', async (context) => {
    const { api } = await opened(context);
    const objects = kubeObjects(api);
    assertRefused(await objects.read(NAME), 'KUBE_NOT_FOUND');
    const made = assertValue(await objects.create({ ...PODS, namespace: 'n' }, POD));
    assertRefused(await objects.create({ ...PODS, namespace: 'n' }, POD), 'KUBE_CONFLICT');
    assert.equal(textAt(assertValue(await objects.read(NAME)), 'spec', 'nodeName'), 'node-1');
    assertValue(await objects.replace(NAME, made));
    // The version is that of before.
    assertRefused(await objects.replace(NAME, made), 'KUBE_CONFLICT');
    const patch = { metadata: { labels: { a: 'b' } } };
    const patched = assertValue(await api.request({ ...get, verb: 'patch', body: patch }));
    assert.equal(textAt(patched, 'metadata', 'labels', 'a'), 'b');
    assert.notEqual(metaOf(patched).resourceVersion, metaOf(made).resourceVersion);
    assertValue(await objects.remove(NAME));
    assertRefused(await objects.remove(NAME), 'KUBE_NOT_FOUND');
  });

  const faults: readonly [string, KubeFault, ErrorCode][] = [
    ['401', { status: 401 }, 'KUBE_CREDENTIALS'],
    ['403', { status: 403 }, 'KUBE_FORBIDDEN'],
    ['404', { status: 404 }, 'KUBE_NOT_FOUND'],
    ['409', { status: 409 }, 'KUBE_CONFLICT'],
    ['410', { status: 410 }, 'KUBE_GONE'],
    ['422', { status: 422 }, 'KUBE_REFUSED'],
    ['429', { status: 429 }, 'KUBE_UNREACHABLE'],
    ['500', { status: 500 }, 'KUBE_UNREACHABLE'],
    ['a redirect', { status: 302, headers: { location: 'https://h/' } }, 'KUBE_REFUSED'],
    ['a page', { text: '<html>' }, 'KUBE_ANSWER'],
    ['a list of JSON', { text: '[]' }, 'KUBE_ANSWER'],
    ['a page with status 502', { text: '<html>', status: 502 }, 'KUBE_UNREACHABLE'],
    ['a broken connection', 'reset', 'KUBE_UNREACHABLE'],
  ];
  for (const [name, fault, code] of faults) {
    test(`${name} is ${code}`, async (context) => {
      const { fake, api } = await opened(context);
      fake.fault = () => fault;
      const answer = await api.request(get);
      assertRefused(answer, code);
      assert.ok(!answer.ok && !answer.error.message.includes('hush'));
    });
  }

  test('say when the server wants to be asked again, a minute at most', async (context) => {
    const { fake, api } = await opened(context);
    for (const [header, waitMs] of [
      ['7', 7000],
      ['3600', 60_000],
      ['soon', undefined],
    ] as const) {
      fake.fault = () => ({ status: 429, headers: { 'retry-after': header } });
      const answer = await api.request(get);
      assert.equal(!answer.ok && answer.error.details.retryAfterMs, waitMs);
    }
  });

  test('end when the answer takes too long, when they are told to, and at the close', async (context) => {
    const clock = new ManualClock(0);
    const { fake, api } = await opened(context, clock);
    const asked = (): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      fake.fault = () => {
        resolve();
        return 'silence';
      };
      return promise;
    };
    for (const end of ['late', 'told', 'closed'] as const) {
      const controller = new AbortController();
      const arrived = asked();
      const answer = api.request({ ...get, timeoutMs: 1000, signal: controller.signal });
      await arrived;
      if (end === 'late') clock.advance(1000);
      if (end === 'told') controller.abort();
      if (end === 'closed') api.close();
      assertRefused(await answer, 'KUBE_UNREACHABLE');
    }
  });

  test('say that nobody is there', async (context) => {
    const { fake, api } = await opened(context);
    fake.put('/api/v1/pods', POD);
    assertValue(await api.request(get));
    await fake.stop();
    assertRefused(await api.request(get), 'KUBE_UNREACHABLE');
    fake.stop = async () => {};
  });

  test('go on with a token that has rotated, when the old one is refused', async (context) => {
    const { fake, api } = await opened(context);
    fake.put('/api/v1/pods', POD);
    assertValue(await api.request(get));
    await fake.rotateToken('fresh');
    assertValue(await api.request(get));
    // Refused, and the file says nothing new: once is enough.
    await fake.rotateToken('elsewhere', false);
    const before = fake.calls.length;
    assertRefused(await api.request(get), 'KUBE_CREDENTIALS');
    assert.equal(fake.calls.length, before + 1);
  });

  test('take the token anew after a minute, while the old one is still good', async (context) => {
    const clock = new ManualClock(0);
    const { fake, api } = await opened(context, clock);
    fake.put('/api/v1/pods', POD);
    await fake.rotateToken('fresh');
    fake.token = 'hush';
    clock.advance(59_999);
    assertValue(await api.request(get));
    clock.advance(1);
    fake.token = 'fresh';
    assertValue(await api.request(get));
    assert.deepEqual(
      fake.calls.map(({ token }) => token),
      ['hush', 'fresh'],
    );
  });

  test('do not reach a server with another certificate', async (context) => {
    const { fake } = await opened(context);
    const other = await FakeKube.start();
    context.after(() => other.stop());
    const text = JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${other.port}` } }],
      users: [{ name: 'u', user: { token: 'hush' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    });
    const { writeFile } = await import('node:fs/promises');
    await writeFile(fake.kubeconfigPath, text);
    const place = { kubeconfigPath: fake.kubeconfigPath };
    const api = assertValue(await openKubeApi(place, { clock: systemClock }));
    context.after(() => api.close());
    assertRefused(await api.request(get), 'KUBE_UNREACHABLE');
    assert.equal(other.calls.length, 0);
  });

  test('are counted by verb and outcome', async (context) => {
    const { fake } = await opened(context);
    const metrics = createMetrics('t');
    const { kubeconfigPath } = fake;
    const parts = { clock: systemClock, metrics: kubeMetricsOf(metrics), name: 'east' };
    assert.equal(kubeMetricsOf(metrics), parts.metrics);
    const api = assertValue(await openKubeApi({ kubeconfigPath }, parts));
    context.after(() => api.close());
    await api.request(get);
    fake.put('/api/v1/pods', POD);
    await api.request(get);
    const text = await metrics.registry.metrics();
    assert.match(text, /t_kube_calls_total\{cluster="east",verb="get",outcome="ok"\} 1/);
    assert.match(text, /cluster="east",verb="get",outcome="KUBE_NOT_FOUND"\} 1/);
  });

  test('open the way when it is there, and keep it', async (context) => {
    const { fake } = await opened(context);
    const place = { kubeconfigPath: `${fake.kubeconfigPath}-later` };
    const open = lazyKubeObjects(place, { clock: systemClock });
    assertRefused(await open(), 'KUBE_CONFIG');
    const { copyFile } = await import('node:fs/promises');
    await copyFile(fake.kubeconfigPath, place.kubeconfigPath);
    assert.equal(assertValue(await open()), assertValue(await open()));
  });
});

describe('paths', () => {
  test('are those of the API', () => {
    assert.equal(assertValue(pathOf(NODES, 'a.b')), '/api/v1/nodes/a.b');
    const resource = { group: 'g.io', version: 'v1', namespace: 'n', plural: 'things' };
    assert.equal(
      assertValue(pathOf(resource, 'x', 'status')),
      '/apis/g.io/v1/namespaces/n/things/x/status',
    );
  });

  test('take no name that would lead elsewhere', () => {
    for (const name of ['', '.', '..', 'a/b', '../b', 'a?b', 'a%2fb', 'a b', 'a\n', '-a']) {
      assertRefused(pathOf(PODS, name), 'KUBE_NAME');
    }
    assertValue(pathOf(PODS, 'a'.repeat(253)));
    assertRefused(pathOf(PODS, 'a'.repeat(254)), 'KUBE_NAME');
  });
});
