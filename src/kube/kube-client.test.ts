import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Result } from '../base/result.ts';
import { openKube } from './kube-client.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

describe('the way to a cluster', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sgn-kube-'));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  async function opened(cluster: object, text?: string): Promise<string> {
    const kubeconfigPath = join(dir, 'kubeconfig');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'c', user: { token: 'hush' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
    };
    await writeFile(kubeconfigPath, text ?? JSON.stringify(config));
    const kube = openKube({ kubeconfigPath });
    if (!kube.ok) assert.doesNotMatch(kube.error.message, /hush/);
    return code(kube);
  }

  test('is open before anything is asked', async () => {
    assert.equal(await opened({ server: 'https://127.0.0.1:1' }), 'ok');
  });

  const refused: readonly [string, object, string?][] = [
    ['does not verify the API server', { server: 'https://h', 'insecure-skip-tls-verify': true }],
    ['sends credentials in the clear', { server: 'http://h' }],
    ['names no cluster', {}, '{"apiVersion":"v1","kind":"Config"}'],
    ['is no YAML', {}, ':\n\t- ['],
  ];
  for (const [name, cluster, text] of refused) {
    test(`is refused by a kubeconfig that ${name}`, async () => {
      assert.equal(await opened(cluster, text), 'KUBE_CONFIG');
    });
  }

  test('is refused without the file, and outside of a pod', (context) => {
    assert.equal(code(openKube({ kubeconfigPath: join(dir, 'absent') })), 'KUBE_CONFIG');
    const { KUBERNETES_SERVICE_HOST: host } = process.env;
    delete process.env.KUBERNETES_SERVICE_HOST;
    context.after(() => {
      if (host !== undefined) process.env.KUBERNETES_SERVICE_HOST = host;
    });
    assert.equal(code(openKube({})), 'KUBE_CONFIG');
  });

  test('says that nobody is there', async () => {
    const kubeconfigPath = join(dir, 'kubeconfig');
    await opened({ server: 'https://127.0.0.1:1' });
    const kube = openKube({ kubeconfigPath });
    assert.ok(kube.ok);
    const name = { group: 'g', version: 'v1', namespace: 'n', plural: 'p', name: 'x' };
    const { signal } = new AbortController();
    assert.equal(code(await kube.value.read(name, signal)), 'KUBE_UNREACHABLE');
    assert.equal(code(await kube.value.read(name, AbortSignal.abort())), 'KUBE_UNREACHABLE');
  });
});
