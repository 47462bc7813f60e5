import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  CLIENT_HELLO,
  frame,
  grpcStatus,
  messageFrame,
  readFrames,
  requestFrame,
  TYPE,
} from '../../test/support/http2-frames.ts';
import { type RawClient, rawClient, testHost, untilAborted } from '../../test/support/rpc.ts';
import { serveTls, type TestTlsServer, tlsIdentity, validatorFor } from '../../test/support/tls.ts';
import {
  makeIntermediate,
  makeLeaf,
  makeRoot,
  type TestCertificate,
} from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import { ok } from '../base/result.ts';
import {
  type ServerReflectionRequest,
  ServerReflectionService,
} from '../gen/grpc/reflection/v1/reflection.ts';
import { JWTSVIDResponse } from '../gen/workload.ts';
import { SERVER_LIMITS, WORKLOAD_LIMITS } from '../rpc/limits.ts';
import type { CallGuard } from '../rpc/service.ts';
import { createMetrics, type Metrics } from '../runtime/metrics.ts';
import type { ChainValidator, TlsIdentity } from './identity.ts';
import { listenTls } from './listener.ts';
import { identityOptions } from './secure-context.ts';

const JWT = '/SpiffeWorkloadAPI/FetchJWTSVID';
const REQUEST = Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]);

interface TlsClient extends RawClient {
  readonly tls: TLSSocket;
}

function dial(
  context: TestContext,
  server: TestTlsServer,
  identity?: TlsIdentity,
  options: ConnectionOptions = {},
): TlsClient {
  const tls = connect({
    host: '127.0.0.1',
    port: server.listener.port,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    ...(identity ? identityOptions(identity) : {}),
    ...options,
  });
  return { ...rawClient(context, tls), tls };
}

/** Who the server says the caller is; undefined when it closed instead of answering. */
async function whoAmI(client: RawClient): Promise<string | undefined> {
  client.socket.write(REQUEST);
  const bytes = await client.until((b) => grpcStatus(b, 1) !== undefined);
  const data = readFrames(bytes).find(({ type }) => type === TYPE.data);
  return data && JWTSVIDResponse.decode(data.payload.subarray(5)).svids[0]?.spiffeId;
}

async function refusals(metrics: Metrics, reason: string): Promise<boolean> {
  const text = await metrics.registry.metrics();
  return text.includes(`connections_refused_total{listener="test",reason="${reason}"}`);
}

test('a caller without a certificate is anonymous, one with an SVID is who it says', async (context) => {
  const server = await serveTls(context);
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  const leaf = makeLeaf(server.root, 'spiffe://example.org/agent/1');
  const known = dial(context, server, tlsIdentity(leaf));
  assert.equal(await whoAmI(known), 'spiffe://example.org/agent/1');
});

test('the chain reaches the validator as it was sent, leaf first', async (context) => {
  const root = makeRoot();
  const upper = makeIntermediate(root);
  const lower = makeIntermediate(upper);
  const leaf = makeLeaf(lower, 'spiffe://example.org/agent/1');
  let seen: readonly Uint8Array[] = [];
  const validate = validatorFor(root);
  const validateClient: ChainValidator = (chainDer) => {
    seen = chainDer;
    return validate(chainDer);
  };
  const server = await serveTls(context, { validateClient });
  const client = dial(context, server, tlsIdentity(leaf, lower, upper));
  assert.equal(await whoAmI(client), 'spiffe://example.org/agent/1');
  assert.deepEqual(
    seen.map((der) => Buffer.from(der).toString('hex')),
    [leaf, lower, upper].map(({ der }) => Buffer.from(der).toString('hex')),
  );
});

const DAY_MS = 24 * 3600 * 1000;

const BAD_CERTIFICATES: [string, (root: TestCertificate) => TlsIdentity][] = [
  [
    'of another trust domain',
    () => tlsIdentity(makeLeaf(makeRoot('other.org'), 'spiffe://other.org/a')),
  ],
  [
    'of a foreign root in our name',
    () => tlsIdentity(makeLeaf(makeRoot(), 'spiffe://example.org/a')),
  ],
  [
    'that has expired',
    (root) =>
      tlsIdentity(makeLeaf(root, 'spiffe://example.org/a', { notAfterMs: Date.now() - DAY_MS })),
  ],
  [
    'that is not valid yet',
    (root) =>
      tlsIdentity(makeLeaf(root, 'spiffe://example.org/a', { notBeforeMs: Date.now() + DAY_MS })),
  ],
  [
    'without a SPIFFE ID',
    (root) => tlsIdentity(makeLeaf(root, 'spiffe://example.org/a', { uris: [] })),
  ],
  [
    'with two URIs',
    (root) =>
      tlsIdentity(
        makeLeaf(root, '', { uris: ['spiffe://example.org/a', 'spiffe://example.org/b'] }),
      ),
  ],
  ['that is a CA', (root) => tlsIdentity(makeLeaf(root, 'spiffe://example.org/a', { ca: true }))],
  [
    'whose signature is wrong',
    (root) => tlsIdentity(makeLeaf({ ...root, key: makeRoot().key }, 'spiffe://example.org/a')),
  ],
];

for (const [name, identity] of BAD_CERTIFICATES) {
  test(`a client certificate ${name} ends the connection, with its reason in the metrics`, async (context) => {
    const metrics = createMetrics('t');
    const server = await serveTls(context, {}, testHost({ metrics }));
    const client = dial(context, server, identity(server.root));
    assert.equal(await whoAmI(client), undefined);
    assert.ok(await refusals(metrics, 'client-certificate'));
    assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  });
}

test('a validator that throws ends the connection, not the process', async (context) => {
  const validateClient: ChainValidator = () => {
    throw new TypeError('a bug');
  };
  const server = await serveTls(context, { validateClient });
  const leaf = makeLeaf(server.root, 'spiffe://example.org/a');
  assert.equal(await whoAmI(dial(context, server, tlsIdentity(leaf))), undefined);
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
});

test('ALPN h2 is demanded', async (context) => {
  const metrics = createMetrics('t');
  const server = await serveTls(context, {}, testHost({ metrics }));
  const none = dial(context, server, undefined, { ALPNProtocols: [] });
  assert.equal(await whoAmI(none), undefined);
  assert.ok(await refusals(metrics, 'no-alpn'));
  const http1 = dial(context, server, undefined, { ALPNProtocols: ['http/1.1'] });
  await http1.closed;
  const both = dial(context, server, undefined, { ALPNProtocols: ['http/1.1', 'h2'] });
  assert.equal(await whoAmI(both), 'anonymous');
});

test('TLS 1.2 is refused by default and taken by configuration, TLS 1.1 never', async (context) => {
  const strict = await serveTls(context);
  const lax = await serveTls(context, { minTlsVersion: '1.2' });
  const at = (version: 'TLSv1.1' | 'TLSv1.2') => ({
    minVersion: version,
    maxVersion: version,
    ciphers: 'DEFAULT@SECLEVEL=0',
  });
  await dial(context, strict, undefined, at('TLSv1.2')).closed;
  assert.equal(await whoAmI(dial(context, lax, undefined, at('TLSv1.2'))), 'anonymous');
  await dial(context, lax, undefined, at('TLSv1.1')).closed;
});

test('no session is resumed, so that every connection shows its certificate', async (context) => {
  const root = makeRoot();
  const validateClient = validatorFor(root);
  const identity = tlsIdentity(makeLeaf(root, 'spiffe://example.org/a'));
  for (const minTlsVersion of ['1.3', '1.2'] as const) {
    const server = await serveTls(context, { validateClient, minTlsVersion });
    const version = `TLSv${minTlsVersion}` as const;
    const first = dial(context, server, identity, { maxVersion: version });
    let session: Buffer | undefined;
    first.tls.on('session', (offered) => {
      session = offered;
    });
    assert.equal(await whoAmI(first), 'spiffe://example.org/a');
    session ??= first.tls.getSession();
    assert.ok(session, 'the client has something to resume with');
    for (const shown of [identity, undefined]) {
      const again = dial(context, server, shown, { maxVersion: version, session });
      const expected = shown ? 'spiffe://example.org/a' : 'anonymous';
      assert.equal(await whoAmI(again), expected, minTlsVersion);
      assert.equal(again.tls.isSessionReused(), false, minTlsVersion);
    }
  }
});

test('a rotated identity is shown to new connections, a bad one is refused and changes nothing', async (context) => {
  const server = await serveTls(context);
  const shown = async (): Promise<string> => {
    const { tls } = dial(context, server);
    await once(tls, 'secureConnect');
    return tls.getPeerX509Certificate()?.serialNumber ?? '';
  };
  const before = await shown();
  const next = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/spire/server'));
  assert.ok(server.listener.setIdentity(next).ok);
  const after = await shown();
  assert.notEqual(after, before);
  const foreign = tlsIdentity(makeLeaf(server.root));
  const torn = { ...next, privateKeyPkcs8: foreign.privateKeyPkcs8 };
  const refused = server.listener.setIdentity(torn);
  assert.ok(!refused.ok && refused.error.code === 'TLS_CONFIGURATION');
  assert.equal(await shown(), after);
  const resumed = dial(context, server);
  assert.equal(await whoAmI(resumed), 'anonymous');
});

test('a rotated identity keeps the demands of the first', async (context) => {
  const server = await serveTls(context);
  const next = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/spire/server'));
  assert.ok(server.listener.setIdentity(next).ok);
  await dial(context, server, undefined, { maxVersion: 'TLSv1.2' }).closed;
  const client = dial(context, server);
  let session: Buffer | undefined;
  client.tls.on('session', (offered) => {
    session = offered;
  });
  await whoAmI(client);
  const again = dial(context, server, undefined, session ? { session } : {});
  await once(again.tls, 'secureConnect');
  assert.equal(again.tls.isSessionReused(), false);
});

test('an address that is taken is LISTEN_FAILED', async (context) => {
  const server = await serveTls(context);
  const again = await listenTls(
    {
      address: '127.0.0.1',
      port: server.listener.port,
      minTlsVersion: '1.3',
      identity: tlsIdentity(makeLeaf(server.root)),
      validateClient: validatorFor(server.root),
      maxConnectionAgeMs: 0,
      random: { bytes: (length) => new Uint8Array(length) },
    },
    testHost(),
  );
  assert.ok(!again.ok && again.error.code === 'LISTEN_FAILED');
});

test('IPv6 and IPv4 reach one listener on ::', async (context) => {
  const seen: string[] = [];
  const guard: CallGuard = ({ connection }) => {
    seen.push(connection.remoteAddress);
    return ok(undefined);
  };
  const server = await serveTls(context, { address: '::' }, testHost({ guards: [guard] }));
  assert.equal(server.listener.address, `[::]:${server.listener.port}`);
  for (const host of ['127.0.0.1', '::1']) {
    assert.equal(await whoAmI(dial(context, server, undefined, { host })), 'anonymous', host);
  }
  assert.deepEqual(seen, ['127.0.0.1', '::1']);
});

test('garbage instead of TLS, and instead of HTTP/2 within it, ends the connection alone', async (context) => {
  const metrics = createMetrics('t');
  const server = await serveTls(context, {}, testHost({ metrics }));
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(500, 0x16),
    CLIENT_HELLO,
  ]) {
    const raw = rawClient(context, connectTcp(server.listener.port, '127.0.0.1'));
    raw.socket.write(bytes);
    await raw.closed;
    const tls = dial(context, server);
    tls.socket.write(
      bytes === CLIENT_HELLO ? Buffer.concat([bytes, frame(TYPE.data, 0, 0)]) : bytes,
    );
    await tls.closed;
  }
  assert.ok(await refusals(metrics, 'handshake'));
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
});

test('a client that does not finish the handshake is cut off', async (context) => {
  const metrics = createMetrics('t');
  const host = testHost({ metrics, limits: { handshakeTimeoutMs: 40 } });
  const server = await serveTls(context, {}, host);
  const raw = rawClient(context, connectTcp(server.listener.port, '127.0.0.1'));
  await raw.closed;
  assert.ok(await refusals(metrics, 'handshake'));
});

test('a client that sends no whole preface after the handshake is cut off', async (context) => {
  const clock = new ManualClock(0);
  const metrics = createMetrics('t');
  const server = await serveTls(context, {}, testHost({ clock, metrics }));
  const silent = dial(context, server);
  const slow = dial(context, server);
  await Promise.all([silent, slow].map(({ tls }) => once(tls, 'secureConnect')));
  slow.socket.write('PRI * HTTP');
  // An answer to a later connection says that the server has seen these.
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  clock.advance(10_001);
  await Promise.all([silent.closed, slow.closed]);
  assert.ok(await refusals(metrics, 'too-slow'));
});

test('handshakes and connections over the caps of an address are closed', async (context) => {
  const metrics = createMetrics('t');
  const handshaking = await serveTls(
    context,
    { maxPendingHandshakesPerAddress: 2 },
    testHost({ metrics }),
  );
  const { port } = handshaking.listener;
  const open = [1, 2].map(() => rawClient(context, connectTcp(port, '127.0.0.1')));
  await Promise.all(open.map(({ socket }) => once(socket, 'connect')));
  await rawClient(context, connectTcp(port, '127.0.0.1')).closed;
  assert.ok(await refusals(metrics, 'handshake-limit'));
  for (const { socket } of open) socket.destroy();

  const host = testHost({ limits: { maxConnectionsPerPeer: 1 } });
  const few = await serveTls(context, {}, host);
  const first = dial(context, few);
  assert.equal(await whoAmI(first), 'anonymous');
  await dial(context, few).closed;
  first.socket.destroy();
  await first.closed;
  while (host.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('anonymous connections of one address are limited, those with an SVID are not', async (context) => {
  const root = makeRoot();
  const clock = new ManualClock(0);
  const options = {
    validateClient: validatorFor(root),
    anonymousLimit: { perSecond: 1, burst: 2 },
  };
  const server = await serveTls(context, options, testHost({ clock }));
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  assert.equal(await whoAmI(dial(context, server)), undefined);
  const identity = tlsIdentity(makeLeaf(root, 'spiffe://example.org/a'));
  assert.equal(await whoAmI(dial(context, server, identity)), 'spiffe://example.org/a');
  clock.advance(1000);
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
});

/** The status that a message of `bytes` zeros (unknown fields) is answered with. */
async function statusOf({ tls }: TlsClient, bytes: number): Promise<string | undefined> {
  const session = connectHttp2('https://server.test', { createConnection: () => tls });
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: JWT,
    [constants.HTTP2_HEADER_TE]: 'trailers',
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
  });
  let status: unknown;
  const note = (headers: object): void => {
    status = Reflect.get(headers, 'grpc-status') ?? status;
  };
  stream
    .on('response', note)
    .on('trailers', note)
    .on('error', () => {});
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes, 1);
  stream.end(Buffer.concat([prefix, unknownField(bytes)]));
  stream.resume();
  await once(stream, 'close');
  session.destroy();
  return status === undefined ? undefined : String(status);
}

/** A message of so many bytes that every type can read: one field of bytes that none has. */
function unknownField(bytes: number): Buffer {
  const length = bytes - 6;
  const head = [0x82, 0x7d, 0, 0, 0, 0].map((byte, at) =>
    at < 2 ? byte : ((length >>> (7 * (at - 2))) & 0x7f) | (at < 5 ? 0x80 : 0),
  );
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length)]);
}

test('callers without a certificate may send 256 KiB and 16 calls at once, others 4 MiB', async (context) => {
  const server = await serveTls(context, {}, testHost({ limits: SERVER_LIMITS }));
  const identity = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/agent/1'));
  const small = 256 * 1024;
  const large = 4 * 1024 * 1024;
  assert.equal(await statusOf(dial(context, server), small), '0');
  assert.equal(await statusOf(dial(context, server), small + 1), '8');
  assert.equal(await statusOf(dial(context, server, identity), small + 1), '0');
  assert.equal(await statusOf(dial(context, server, identity), large), '0');
  assert.equal(await statusOf(dial(context, server, identity), large + 1), '8');
  for (const [client, streams] of [
    [dial(context, server), 16],
    [dial(context, server, identity), 100],
  ] as const) {
    await whoAmI(client);
    const [settings] = readFrames(client.received());
    const values = settings?.payload ?? Buffer.alloc(0);
    const ids = Array.from({ length: values.length / 6 }, (_, i) => values.readUInt16BE(6 * i));
    assert.equal(values.readUInt32BE(6 * ids.indexOf(3) + 2), streams);
  }
  await server.host.shutdown(0);
  assert.equal(server.host.connectionCount, 0);
});

test('anonymous connections that are open at once are limited by address', async (context) => {
  const root = makeRoot();
  const metrics = createMetrics('test');
  const anonymous = { ...WORKLOAD_LIMITS, maxConnectionsPerPeer: 2 };
  const host = testHost({ metrics, limits: { anonymous } });
  const server = await serveTls(context, { validateClient: validatorFor(root) }, host);
  const open = [dial(context, server), dial(context, server)];
  for (const client of open) assert.equal(await whoAmI(client), 'anonymous');
  await dial(context, server).closed;
  assert.ok(await refusals(metrics, 'anonymous-limit'));
  const identity = tlsIdentity(makeLeaf(root, 'spiffe://example.org/a'));
  const known = dial(context, server, identity);
  assert.equal(await whoAmI(known), 'spiffe://example.org/a');
  open[0]?.socket.destroy();
  while (host.connectionCount > 2) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
});

test('an anonymous caller who keeps a call waiting is gone sooner than one with an SVID', async (context) => {
  const clock = new ManualClock(0);
  const server = await serveTls(context, {}, testHost({ clock, limits: SERVER_LIMITS }));
  const identity = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/agent/1'));
  const clients = [dial(context, server), dial(context, server, identity)] as const;
  for (const client of clients) {
    await whoAmI(client);
    client.socket.write(
      Buffer.concat([requestFrame(3, 'localhost', JWT), frame(TYPE.ping, 0, 0, Buffer.alloc(8))]),
    );
    await client.until((bytes) => readFrames(bytes).some(({ type }) => type === TYPE.ping));
  }
  clock.advance(10_000);
  await clients[0].closed;
  assert.equal(server.host.connectionCount, 1);
  clock.advance(20_000);
  await clients[1].closed;
});

test('a connection of its age gets GOAWAY, unless a stream holds it open', async (context) => {
  const clock = new ManualClock(0);
  const host = testHost({ clock });
  const releases: (() => void)[] = [];
  const holding = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  host.addService(ServerReflectionService, {
    serverReflectionInfo: async (
      _requests: AsyncIterable<ServerReflectionRequest>,
      _stream,
      call,
    ) => {
      releases.push(call.connection.holdOpen());
      holding.resolve();
      await Promise.race([end.promise, untilAborted(call)]);
      for (const release of releases) release();
      return ok(undefined);
    },
  });
  const server = await serveTls(context, { maxConnectionAgeMs: 180_000 }, host);
  const plain = dial(context, server);
  const pushed = dial(context, server);
  assert.equal(await whoAmI(plain), 'anonymous');
  assert.equal(await whoAmI(pushed), 'anonymous');
  const { path } = ServerReflectionService.serverReflectionInfo;
  pushed.socket.write(requestFrame(3, 'localhost', path));
  await holding.promise;
  const isGoaway = (bytes: Buffer): boolean =>
    readFrames(bytes).some(({ type }) => type === TYPE.goaway);
  clock.advance(180_000 * 0.9 - 1);
  pushed.socket.write(frame(TYPE.ping, 0, 0, Buffer.alloc(8)));
  await pushed.until((bytes) => readFrames(bytes).some(({ type }) => type === TYPE.ping));
  assert.equal(isGoaway(plain.received()), false);
  clock.advance(180_000 * 0.2 + 2);
  await plain.closed;
  assert.ok(isGoaway(plain.received()));
  assert.equal(isGoaway(pushed.received()), false);
  end.resolve();
  await pushed.until((bytes) => grpcStatus(bytes, 3) !== undefined);
  pushed.socket.write(frame(TYPE.data, 1, 3));
  await pushed.closed;
  assert.ok(isGoaway(pushed.received()));
  assert.equal(grpcStatus(pushed.received(), 3), '0');
});

test('closing the listener keeps served connections and drops those that are not', async (context) => {
  const server = await serveTls(context);
  const served = dial(context, server);
  assert.equal(await whoAmI(served), 'anonymous');
  const shaking = rawClient(context, connectTcp(server.listener.port, '127.0.0.1'));
  const silent = dial(context, server);
  await once(silent.tls, 'secureConnect');
  // An answer to a later connection says that the server has seen these.
  assert.equal(await whoAmI(dial(context, server)), 'anonymous');
  await server.listener.close();
  await Promise.all([shaking.closed, silent.closed]);
  served.socket.write(Buffer.concat([requestFrame(3, 'localhost', JWT), messageFrame(3)]));
  const bytes = await served.until((b) => grpcStatus(b, 3) !== undefined);
  assert.equal(grpcStatus(bytes, 3), '0');
});
