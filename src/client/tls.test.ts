import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { CRL_FROM_MS, makeCrl, makeCrlSigner } from '../../test/support/crl.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  type TestDomain,
  testDomain,
  wireResponse,
  wireSvid,
} from '../../test/support/workload-response.ts';
import type { TestCertificateOptions } from '../../test/support/x509.ts';
import type { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { WatchHandlers } from './stream-watch.ts';
import {
  type Authorize,
  authorizeIds,
  authorizeMemberOf,
  createMtlsServer,
  tlsClientOptions,
} from './tls.ts';
import type { WorkloadClient } from './workload-client.ts';
import { readX509Context, type X509Context } from './x509-context.ts';
import { X509Source } from './x509-source.ts';

const domain = testDomain('example.org');
const web = id('spiffe://example.org/web');
const billing = id('spiffe://example.org/billing');
const anyone: Authorize = () => true;

function id(text: string): SpiffeId {
  return assertValue(parseSpiffeId(text));
}

function contextOf(
  path: string,
  of: TestDomain = domain,
  options: TestCertificateOptions & { readonly trusts?: readonly TestDomain[] } = {},
): X509Context {
  const { trusts = [], ...certificate } = options;
  return assertValue(readX509Context(wireResponse([wireSvid(of, path, certificate)], trusts)));
}

/** A source that the test feeds. */
function fedSource(context: TestContext, first: X509Context) {
  let handlers: WatchHandlers<X509Context> | undefined;
  const client = {
    watchX509Context: (given: WatchHandlers<X509Context>) => {
      handlers = given;
      return { close: () => {} };
    },
  };
  const source = new X509Source(client as unknown as WorkloadClient);
  context.after(() => source.close());
  handlers?.onUpdate(first);
  return { source, feed: (next: X509Context) => handlers?.onUpdate(next) };
}

/** A server of `billing` that echoes; tells the peer, or why it refused. */
async function serve(context: TestContext, authorize: Authorize, first = contextOf('/billing')) {
  const { source, feed } = fedSource(context, first);
  const peers: string[] = [];
  const { promise: refused, resolve: onRefused } = Promise.withResolvers<SignetError>();
  const server = assertValue(
    createMtlsServer(source, {
      authorize,
      onConnection: (socket, peer) => {
        peers.push(peer.uri);
        socket.pipe(socket);
      },
      onRefused,
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  // The address of a TCP server is an object.
  const { port } = server.address() as AddressInfo;
  return { port, peers, refused, feed };
}

/** Connects and echoes one word: the whole way there and back, or the error. */
async function call(
  context: TestContext,
  port: number,
  options: ConnectionOptions,
): Promise<Result<TLSSocket>> {
  const socket = connect({ host: '127.0.0.1', port, ...options });
  context.after(() => socket.destroy());
  return new Promise((resolve) => {
    const failed = (error: Error): void =>
      resolve({ ok: false, error: error as unknown as SignetError });
    socket.on('error', failed);
    socket.on('close', () => failed(new TypeError('closed')));
    socket.on('data', () => resolve(ok(socket)));
    socket.write('hello');
  });
}

test('two services talk when each allows the other', async (context) => {
  const { port, peers } = await serve(context, authorizeIds(web));
  assertValue(
    await call(context, port, tlsClientOptions(contextOf('/web'), authorizeIds(billing))),
  );
  assert.deepEqual(peers, [web.uri]);
});

test('the client refuses a server that it does not allow', async (context) => {
  const { port } = await serve(context, anyone);
  const refused = await call(context, port, tlsClientOptions(contextOf('/web'), authorizeIds(web)));
  assertRefused(refused, 'PEER_NOT_AUTHORIZED');
});

test('the server refuses a client that it does not allow', async (context) => {
  const { port, peers, refused } = await serve(context, authorizeIds(billing));
  const answer = await call(context, port, tlsClientOptions(contextOf('/web'), anyone));
  assert.equal(answer.ok, false);
  assert.equal((await refused).code, 'PEER_NOT_AUTHORIZED');
  assert.deepEqual(peers, []);
});

test('the server refuses a client without a certificate', async (context) => {
  const { port, peers, refused } = await serve(context, anyone);
  const answer = await call(context, port, { rejectUnauthorized: false });
  assert.equal(answer.ok, false);
  assert.equal((await refused).code, 'PEER_UNTRUSTED');
  assert.deepEqual(peers, []);
});

test('WLAPI-31 a peer is judged by the bundle of its own trust domain alone', async (context) => {
  // Another domain that we trust signs a name of ours.
  const other = testDomain('other.test');
  const forged = wireSvid({ name: 'example.org', root: other.root }, '/web');
  const impostor = assertValue(
    readX509Context(wireResponse([{ ...forged, bundle: Buffer.from(domain.root.der) }])),
  );
  const first = contextOf('/billing', domain, { trusts: [other] });
  const { port, peers, refused } = await serve(context, anyone, first);
  const answer = await call(context, port, tlsClientOptions(impostor, anyone));
  assert.equal(answer.ok, false);
  assert.equal((await refused).code, 'PEER_UNTRUSTED');
  assert.deepEqual(peers, []);
});

test('a peer of a federated trust domain is accepted', async (context) => {
  const other = testDomain('other.test');
  const first = contextOf('/billing', domain, { trusts: [other] });
  const allowed = assertValue(parseTrustDomain('other.test'));
  const { port, peers } = await serve(context, authorizeMemberOf(allowed), first);
  const client = contextOf('/web', other, { trusts: [domain] });
  assertValue(await call(context, port, tlsClientOptions(client, authorizeIds(billing))));
  assert.deepEqual(peers, ['spiffe://other.test/web']);
});

const hour = 3_600_000;
for (const [name, certificate] of [
  ['an expired certificate', { notAfterMs: Date.now() - hour }],
  ['a certificate that is not valid yet', { notBeforeMs: Date.now() + hour }],
  ['a signing certificate', { ca: true }],
  ['a certificate without a key usage', { keyUsage: null }],
] as const) {
  test(`the client refuses ${name}`, async (context) => {
    const response = wireResponse([wireSvid(domain, '/billing', certificate)]);
    const read = readX509Context(response);
    // What our own client would discard cannot even be served by it.
    if (!read.ok) return assertRefused(read, 'WORKLOAD_RESPONSE_INVALID');
    const { port } = await serve(context, anyone, read.value);
    const answer = await call(context, port, tlsClientOptions(contextOf('/web'), anyone));
    assert.equal(answer.ok, false);
  });
}

test('rotation serves new connections and leaves open ones alone', async (context) => {
  const { port, feed } = await serve(context, anyone);
  const options = tlsClientOptions(contextOf('/web'), anyone);
  const before = assertValue(await call(context, port, options));
  const serial = before.getPeerCertificate().serialNumber;
  // A new authority too: the old client's bundle no longer holds the new server's.
  const renewed = testDomain('example.org');
  feed(contextOf('/billing', renewed));
  assert.equal((await call(context, port, options)).ok, false);
  const fresh = tlsClientOptions(contextOf('/web', renewed), anyone);
  const after = assertValue(await call(context, port, fresh));
  assert.notEqual(after.getPeerCertificate().serialNumber, serial);
  before.write('again');
  const [data] = await once(before, 'data');
  assert.equal(String(data), 'again');
});

test('a server cannot be made before there is an identity', () => {
  const client = { watchX509Context: () => ({ close: () => {} }) };
  const source = new X509Source(client as unknown as WorkloadClient);
  const handlers = { authorize: anyone, onConnection: () => {} };
  assertRefused(createMtlsServer(source, handlers), 'WORKLOAD_UNAVAILABLE');
  source.close();
});

/** A context with a CRL of these certificates; the SVID is the one that the test goes by. */
function revoking(
  path: string,
  revoked: readonly X509Context[],
  signer = makeCrlSigner(domain.root),
): X509Context {
  const entries = revoked.map(({ svids: [{ leaf }] }) => ({
    issuerDer: leaf.issuerDer,
    serial: leaf.serial,
    revokedAtMs: CRL_FROM_MS,
    reason: 1,
  }));
  const untilMs = Date.UTC(2049, 0, 1);
  const crl = makeCrl(signer, entries, { fromMs: Date.UTC(2020, 0, 2), untilMs });
  const response = { ...wireResponse([wireSvid(domain, path)]), crl: [Buffer.from(crl)] };
  return assertValue(readX509Context(response));
}

test('both sides refuse an SVID that the CRL of the Workload API lists, and no other', async (context) => {
  const client = contextOf('/web');
  const server = contextOf('/billing');
  const listed = await serve(context, anyone, revoking('/billing', [client]));
  assert.equal((await call(context, listed.port, tlsClientOptions(client, anyone))).ok, false);
  assert.equal((await listed.refused).code, 'PEER_UNTRUSTED');
  const other = contextOf('/web');
  assertValue(await call(context, listed.port, tlsClientOptions(other, anyone)));
  const plain = await serve(context, anyone, server);
  const options = tlsClientOptions(revoking('/web', [server]), anyone);
  assertRefused(await call(context, plain.port, options), 'PEER_UNTRUSTED');
  // From the next context on: rotation brings the CRL to a server that runs.
  listed.feed(revoking('/billing', [other]));
  assert.equal((await call(context, listed.port, tlsClientOptions(other, anyone))).ok, false);
});

test('a peer that no CRL covers: as told', async (context) => {
  const server = await serve(context, anyone);
  const strict = (own: X509Context): ConnectionOptions =>
    tlsClientOptions(own, anyone, undefined, 'refuse');
  assertRefused(await call(context, server.port, strict(contextOf('/web'))), 'PEER_UNTRUSTED');
  assertValue(await call(context, server.port, strict(revoking('/web', []))));
  // Nobody of the bundle signed it, so it is as if there were none.
  const foreign = makeCrlSigner(testDomain('example.org').root);
  const unsigned = strict(revoking('/web', [], foreign));
  assertRefused(await call(context, server.port, unsigned), 'PEER_UNTRUSTED');
});
