import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { readAccess } from './place.ts';

const execOf = (command: string, ...args: readonly string[]): object => ({
  apiVersion: 'client.authentication.k8s.io/v1',
  interactiveMode: 'Never',
  command,
  args,
});

const CLUSTER = { server: 'https://127.0.0.1:6443' };

describe('the place of a cluster', () => {
  let dir: string;
  let kubeconfigPath: string;
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sgn-kube-place-'));
    kubeconfigPath = join(dir, 'kubeconfig');
  });
  afterEach(() => {
    setOrDelete('KUBERNETES_SERVICE_HOST', host);
    setOrDelete('KUBERNETES_SERVICE_PORT', port);
  });
  after(() => rm(dir, { recursive: true, force: true }));

  function setOrDelete(name: string, value: string | undefined): void {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }

  async function write(cluster: object, user: object = { token: 'hush' }): Promise<void> {
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      clusters: [
        { name: 'c', cluster },
        { name: 'd', cluster: { server: 'https://d.example' } },
      ],
      users: [{ name: 'u', user }],
      contexts: [
        { name: 'here', context: { cluster: 'c', user: 'u' } },
        { name: 'there', context: { cluster: 'd', user: 'u' } },
        { name: 'nobody', context: { cluster: 'c', user: 'x' } },
      ],
    };
    await writeFile(kubeconfigPath, JSON.stringify(config));
  }

  test('is that of the current context, or of the one that is asked for', async () => {
    await write(CLUSTER);
    const here = assertValue(await readAccess({ kubeconfigPath }));
    assert.deepEqual([here.server.href, here.token], ['https://127.0.0.1:6443/', 'hush']);
    const there = assertValue(await readAccess({ kubeconfigPath, context: 'there' }));
    assert.equal(there.server.host, 'd.example');
    assertRefused(await readAccess({ kubeconfigPath, context: 'nowhere' }), 'KUBE_CONFIG');
    assertRefused(await readAccess({ kubeconfigPath, context: 'nobody' }), 'KUBE_CONFIG');
  });

  test('takes credentials from the text, or from files beside the kubeconfig', async () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    await write(
      { ...CLUSTER, 'certificate-authority-data': base64('CA'), 'tls-server-name': 'kubernetes' },
      { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
    );
    const inline = assertValue(await readAccess({ kubeconfigPath }));
    assert.deepEqual([inline.ca, inline.serverName, inline.token], ['CA', 'kubernetes', undefined]);
    assert.deepEqual(inline.identity, { certificate: 'CERT', key: 'KEY' });
    for (const name of ['ca.pem', 'cert.pem', 'key.pem', 'token']) {
      await writeFile(join(dir, name), `${name}\n`);
    }
    await write(
      { ...CLUSTER, 'certificate-authority': 'ca.pem' },
      {
        'client-certificate': 'cert.pem',
        'client-key': join(dir, 'key.pem'),
        tokenFile: 'token',
        token: 'older',
      },
    );
    const files = assertValue(await readAccess({ kubeconfigPath }));
    assert.deepEqual([files.ca, files.token], ['ca.pem\n', 'token']);
    assert.deepEqual(files.identity, { certificate: 'cert.pem\n', key: 'key.pem\n' });
  });

  test('has the token that a program gives', async () => {
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'given' },
    };
    await write(CLUSTER, { exec: execOf('/bin/echo', JSON.stringify(credential)) });
    const access = assertValue(await readAccess({ kubeconfigPath }));
    assert.deepEqual([access.token, access.identity], ['given', undefined]);
    assert.equal(access.server.href, 'https://127.0.0.1:6443/');
  });

  test('is put together from several kubeconfigs, of which the first counts', async () => {
    await write(CLUSTER);
    const other = join(dir, 'other');
    const clusters = [
      { name: 'c', cluster: { server: 'https://hidden.example' } },
      { name: 'e', cluster: { server: 'https://e.example', 'certificate-authority': 'e.pem' } },
    ];
    const contexts = [{ name: 'e', context: { cluster: 'e', user: 'u', namespace: 'shop' } }];
    const config = { clusters, users: [], contexts, 'current-context': 'e' };
    await writeFile(other, JSON.stringify(config));
    await writeFile(join(dir, 'e.pem'), 'E');
    const kubeconfigPaths = [kubeconfigPath, other];
    const first = assertValue(await readAccess({ kubeconfigPaths }));
    assert.deepEqual([first.server.host, first.context], ['127.0.0.1:6443', 'here']);
    const second = assertValue(await readAccess({ kubeconfigPaths, context: 'e' }));
    assert.deepEqual(
      [second.server.host, second.token, second.ca, second.namespace],
      ['e.example', 'hush', 'E', 'shop'],
    );
  });

  test('is what a command line says in its place', async () => {
    await write(CLUSTER);
    const impersonate = { user: 'jane', groups: ['a', 'b'], uid: undefined };
    const proxyEnv = { HTTPS_PROXY: 'http://p' };
    const instead = { cluster: 'd', token: 'given', impersonate, proxyEnv };
    const access = assertValue(await readAccess({ kubeconfigPath, instead }));
    assert.deepEqual(
      [access.server.host, access.token, access.impersonate, access.proxyEnv],
      ['d.example', 'given', impersonate, proxyEnv],
    );
    const server = 'https://s.example';
    const moved = assertValue(await readAccess({ kubeconfigPath, instead: { server } }));
    assert.deepEqual([moved.server.host, moved.token], ['s.example', 'hush']);
    const half = { clientCertificate: join(dir, 'cert.pem') };
    assertRefused(await readAccess({ kubeconfigPath, instead: half }), 'KUBE_CONFIG');
    const nobody = { user: 'nobody' };
    assertRefused(await readAccess({ kubeconfigPath, instead: nobody }), 'KUBE_CONFIG');
  });

  test('goes by the proxy of a kubeconfig only where proxies are taken', async () => {
    await write({ ...CLUSTER, 'proxy-url': 'http://p' });
    assertRefused(await readAccess({ kubeconfigPath }), 'KUBE_CONFIG');
    const access = assertValue(await readAccess({ kubeconfigPath, instead: { proxyEnv: {} } }));
    assert.deepEqual(access.proxyEnv, { HTTPS_PROXY: 'http://p' });
    await write({ ...CLUSTER, 'proxy-url': 'socks5://p' });
    assertRefused(await readAccess({ kubeconfigPath, instead: { proxyEnv: {} } }), 'KUBE_CONFIG');
  });

  const refused: readonly [string, object, object?][] = [
    ['does not verify the API server', { ...CLUSTER, 'insecure-skip-tls-verify': true }],
    ['sends credentials in the clear', { server: 'http://h' }],
    ['has no address', {}],
    ['goes by a proxy', { ...CLUSTER, 'proxy-url': 'http://p' }],
    ['runs a program that is not there', CLUSTER, { exec: execOf('/absent/program') }],
    ['has a password', CLUSTER, { username: 'u', password: 'hush' }],
    ['acts as another', CLUSTER, { token: 'hush', as: 'admin' }],
    ['has a certificate without key', CLUSTER, { 'client-certificate-data': 'QQ==' }],
    ['has a CA that is empty', { ...CLUSTER, 'certificate-authority': 'empty' }],
    ['has a CA that is no base64', { ...CLUSTER, 'certificate-authority-data': '!' }],
    ['has a token file that is empty', CLUSTER, { tokenFile: 'empty' }],
    ['names a file that is not there', { ...CLUSTER, 'certificate-authority': 'absent' }],
  ];
  for (const [name, cluster, user] of refused) {
    test(`is refused by a kubeconfig that ${name}`, async () => {
      await write(cluster, user);
      await writeFile(join(dir, 'empty'), '\n');
      const access = await readAccess({ kubeconfigPath });
      assertRefused(access, 'KUBE_CONFIG');
      if (!access.ok) assert.doesNotMatch(access.error.message, /hush/);
    });
  }

  test('is refused where the file is none, or is not there', async () => {
    for (const text of ['', ':\n\t- [', '[]', '{"a":1,"a":2}', 'a: &a [*a]']) {
      await writeFile(kubeconfigPath, text);
      assertRefused(await readAccess({ kubeconfigPath }), 'KUBE_CONFIG');
    }
    assertRefused(await readAccess({ kubeconfigPath: join(dir, 'absent') }), 'KUBE_CONFIG');
  });

  test('is that of the service account in a pod, and nowhere else', async () => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    assertRefused(await readAccess({ serviceAccountDir: dir }), 'KUBE_CONFIG');
    process.env.KUBERNETES_SERVICE_HOST = 'fd00::1';
    process.env.KUBERNETES_SERVICE_PORT = '6443';
    await rm(join(dir, 'token'), { force: true });
    assertRefused(await readAccess({ serviceAccountDir: dir }), 'KUBE_CONFIG');
    await writeFile(join(dir, 'token'), 'mine\n');
    await writeFile(join(dir, 'ca.crt'), 'CA');
    const access = assertValue(await readAccess({ serviceAccountDir: dir }));
    assert.equal(access.server.href, 'https://[fd00::1]:6443/');
    assert.deepEqual([access.token, access.ca], ['mine', 'CA']);
    // Without a CA the roots of the system would count.
    await writeFile(join(dir, 'ca.crt'), '');
    assertRefused(await readAccess({ serviceAccountDir: dir }), 'KUBE_CONFIG');
  });
});
