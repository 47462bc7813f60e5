import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { ask } from '../../test/support/server.ts';
import { serveTls, tlsIdentity, validatorFor } from '../../test/support/tls.ts';
import { makeLeaf } from '../../test/support/x509.ts';
import { SpiffeWorkloadAPIClient, SpiffeWorkloadAPIService } from '../gen/workload.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { parseHttpProxy, proxyFromEnvironment } from './http-proxy.ts';
import { openServerChannel } from './server-channel.ts';

test('a proxy is http://host:port, with a login or without', () => {
  for (const [text, host, port, credentials] of [
    ['http://proxy.example.org:3128', 'proxy.example.org', 3128, undefined],
    ['http://proxy.example.org', 'proxy.example.org', 80, undefined],
    ['http://u:p%40ss@10.0.0.1:8080/', '10.0.0.1', 8080, 'u:p@ss'],
    ['http://[2001:db8::1]:3128', '2001:db8::1', 3128, undefined],
  ] as const) {
    assert.deepEqual(assertValue(parseHttpProxy(text)), { host, port, credentials });
  }
  for (const text of [
    '',
    'proxy:3128',
    'https://proxy:3128',
    'socks5://proxy:1080',
    'http://proxy:3128/path',
    'http://proxy:3128/?a',
    'http://u:%zz@proxy:3128',
    'http://proxy:65536',
  ]) {
    assertRefused(parseHttpProxy(text), 'CONFIG_INVALID');
  }
});

test('a refusal never says the password', () => {
  const refused = parseHttpProxy('https://user:hunter2@proxy:3128');
  assert.ok(!refused.ok);
  assert.doesNotMatch(refused.error.message, /hunter2/);
});

test('HTTPS_PROXY counts unless NO_PROXY has the host or a domain above it', () => {
  const HTTPS_PROXY = 'http://proxy:3128';
  for (const [env, host, taken] of [
    [{ HTTPS_PROXY }, 'a.example.org', true],
    [{ https_proxy: HTTPS_PROXY }, 'a.example.org', true],
    [{}, 'a.example.org', false],
    [{ HTTPS_PROXY, NO_PROXY: 'example.org' }, 'a.example.org', false],
    [{ HTTPS_PROXY, NO_PROXY: '.example.org, x' }, 'A.example.org', false],
    [{ HTTPS_PROXY, NO_PROXY: 'ample.org' }, 'a.example.org', true],
    [{ HTTPS_PROXY, NO_PROXY: '*' }, 'a.example.org', false],
    [{ HTTPS_PROXY, NO_PROXY: ',' }, 'a.example.org', true],
  ] as const) {
    const proxy = assertValue(proxyFromEnvironment(env, host));
    assert.equal(proxy !== undefined, taken, JSON.stringify([env, host]));
  }
});

test('a channel goes through the proxy by CONNECT, with TLS to the server inside', async (context) => {
  const { listener, root } = await serveTls(context);
  const asked: IncomingMessage[] = [];
  const proxy = createServer().on('connect', (request: IncomingMessage, client: Socket) => {
    asked.push(request);
    const [host, port] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  context.after(() => proxy.close());
  let shown: Uint8Array | undefined;
  const channel = assertValue(
    openServerChannel({
      host: '127.0.0.1',
      port: listener.port,
      proxy: {
        host: '127.0.0.1',
        port: (proxy.address() as AddressInfo).port,
        credentials: 'user:secret',
      },
      verification: {
        kind: 'spiffe',
        expectedId: assertValue(parseSpiffeId('spiffe://example.org/spire/server')),
        validate: validatorFor(root),
      },
      identity: tlsIdentity(makeLeaf(root, 'spiffe://example.org/web')),
      onAccepted: (der) => {
        shown = der;
      },
    }),
  );
  context.after(() => channel.close());
  const client = channel.client(SpiffeWorkloadAPIClient);
  const answer = await ask(client, SpiffeWorkloadAPIService.fetchJwtsvid, {
    audience: [],
    spiffeId: '',
  });
  assert.equal(answer.svids[0]?.spiffeId, 'spiffe://example.org/web');
  assert.equal(asked.length, 1);
  assert.equal(asked[0]?.url, `127.0.0.1:${listener.port}`);
  const login = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  assert.equal(asked[0]?.headers['proxy-authorization'], login);
  assert.ok(shown !== undefined && shown.length > 0);
});
