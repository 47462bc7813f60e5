import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import {
  HealthCheckKind,
  Protocol,
  UpstreamTls,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import {
  askFlow,
  echo,
  type PeerIdentity,
  startTarget,
  startTlsTarget,
} from '../support/connector-peer.ts';
import { startConnector } from '../support/connector-rig.ts';
import { makeCrl, makeCrlSigner, revokedEntry } from '../support/crl.ts';
import { eventually } from '../support/dev.ts';
import { assertValue } from '../support/refused.ts';
import {
  pemOfKey,
  ScriptedConnectorServer,
  segmentUpdate,
  wireSegment,
} from '../support/scripted-connector-server.ts';
import { makeIntermediate, makeLeaf, makeRoot, type TestCertificate } from '../support/x509.ts';

const edge = 'spiffe://example.org/connector/edge/c1';

function peer(issuer: TestCertificate, path = '/app', ...above: TestCertificate[]): PeerIdentity {
  const leaf = makeLeaf(issuer, `spiffe://example.org${path}`);
  return { key: pemOfKey(leaf), cert: [leaf, ...above].map(({ pem }) => pem).join('') };
}

const ask = async (port: number, target: string, identity: PeerIdentity) => {
  const { status, reason, socket } = await askFlow(port, target, identity);
  socket.destroy();
  return `${status} ${reason}`.trim();
};

test('allows a flow by its segment, and says why another one is not allowed', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  const ports = [{ first: target.port, last: target.port }];
  server.welcome(session, [
    wireSegment('echo', { ports }),
    wireSegment('other', { hosts: ['127.0.0.2'], clients: ['spiffe://example.org/other/*'] }),
    wireSegment('leaving', { hosts: ['127.0.0.3'], draining: true }),
    wireSegment('datagrams', { hosts: ['127.0.0.4'], protocol: Protocol.PROTOCOL_UDP }),
    wireSegment('closed', { hosts: ['127.0.0.5'], ports: [{ first: 1, last: 1 }] }),
  ]);
  await heard('segments');
  const app = peer(server.root);
  const flow = await askFlow(port, `127.0.0.1:${target.port}`, app);
  assert.equal(flow.status, 200);
  assert.equal(await echo(flow.socket, 'through and back'), 'through and back');
  flow.socket.destroy();
  const under = makeIntermediate(server.root);
  const foreign = makeRoot('evil.test');
  const cases: readonly [string, PeerIdentity, string][] = [
    [`127.0.0.1:${target.port}`, peer(under, '/app', under), '200'],
    [`127.0.0.1:${target.port - 1}`, app, '403 no-segment'],
    [`localhost:${target.port}`, app, '403 no-segment'],
    [`127.0.0.1:${target.port}`, peer(server.root, '/app2'), '403 client-not-allowed'],
    ['127.0.0.2:80', app, '403 client-not-allowed'],
    ['127.0.0.2:80', peer(server.root, '/other'), '403 client-not-allowed'],
    ['127.0.0.3:80', app, '503 segment-draining'],
    ['127.0.0.4:80', app, '501 udp-not-forwarded'],
    ['127.0.0.5:1', app, '502 target-unreachable'],
    ['127.0.0.1:0', app, '400 bad-target'],
    ['127.0.0.1:65536', app, '400 bad-target'],
    ['127.0.0.1', app, '400 bad-target'],
  ];
  for (const [to, identity, answer] of cases) {
    assert.equal(await ask(port, to, identity), answer, to);
  }
  await assert.rejects(askFlow(port, `127.0.0.1:${target.port}`, undefined));
  await assert.rejects(askFlow(port, `127.0.0.1:${target.port}`, peer(foreign)));
});

test('takes an authority for its own trust domain only, and one SPIFFE ID', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  const friend = makeRoot('friend.test');
  const clients = ['spiffe://example.org/app', 'spiffe://friend.test/app'];
  server.welcome(session, [wireSegment('echo', { clients })]);
  const friendly = { ...server.bundles[0]!, trustDomain: 'friend.test' };
  const federated = { ...friendly, x509Authorities: [Buffer.from(friend.der)] };
  const both = { bundles: [...server.bundles, federated], crl: Buffer.alloc(0) };
  session.say({ $case: 'bundle', value: { ...both, version: 'b2', nonce: Buffer.from('b2') } });
  await heard('bundle', 2);
  const to = `127.0.0.1:${target.port}`;
  const shown = (issuer: TestCertificate, ...uris: string[]): PeerIdentity => {
    const leaf = makeLeaf(issuer, '', { uris });
    return { key: pemOfKey(leaf), cert: leaf.pem };
  };
  assert.equal(await ask(port, to, shown(friend, 'spiffe://friend.test/app')), '200');
  for (const stranger of [
    shown(friend, 'spiffe://example.org/app'),
    shown(server.root, 'spiffe://friend.test/app'),
    shown(server.root, 'spiffe://example.org/app', 'spiffe://example.org/app2'),
    shown(server.root, 'https://example.org/app'),
    shown(server.root, 'spiffe://example.org/x/../app'),
  ]) {
    assert.equal(await ask(port, to, stranger), '403 client-unknown');
  }
});

test('closes flows that are not allowed any more, and no others', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  const to = `127.0.0.1:${target.port}`;
  const clients = ['/a', '/b', '/c'].map((path) => `spiffe://example.org${path}`);
  server.welcome(session, [wireSegment('echo', { clients })]);
  await heard('segments');
  const leaves = ['/a', '/b', '/c'].map((path) =>
    makeLeaf(server.root, `spiffe://example.org${path}`),
  );
  const flows = await Promise.all(
    leaves.map((leaf) => askFlow(port, to, { key: pemOfKey(leaf), cert: leaf.pem })),
  );
  const closed = flows.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve)));
  for (const { socket } of flows) socket.resume();

  const change = {
    baseVersion: 's1',
    segments: [wireSegment('echo', { clients: clients.slice(1) })],
  };
  session.say({ $case: 'segments', value: segmentUpdate('s2', change) });
  await closed[0];
  const signer = makeCrlSigner(server.root);
  const crl = Buffer.from(makeCrl(signer, [revokedEntry(leaves[1]!)]));
  const update = { bundles: server.bundles, crl, version: 'b2', nonce: Buffer.from('b2') };
  session.say({ $case: 'bundle', value: update });
  await closed[1];
  assert.equal(await echo(flows[2]!.socket, 'still here'), 'still here');
  const again = { key: pemOfKey(leaves[1]!), cert: leaves[1]!.pem };
  assert.equal(await ask(port, to, again), '403 client-revoked');

  const gone = { baseVersion: 's2', removedIds: ['echo'] };
  session.say({ $case: 'segments', value: segmentUpdate('s3', gone) });
  await closed[2];
});

test('acks what it applied, nacks what it cannot, and keeps what it had', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const acks = () => session.heard.filter(({ $case }) => $case === 'ack').length;
  await eventually(() => acks() === 2, 30_000);
  assert.deepEqual(
    session.heard.filter(({ $case }) => $case === 'ack').map(({ value }) => value),
    [
      { type: 2, version: 'b1', nonce: Buffer.from('b1') },
      { type: 3, version: 's1', nonce: Buffer.from('s1') },
    ],
  );
  const stranger = makeRoot('example.org');
  const crl = Buffer.from(makeCrl(makeCrlSigner(stranger), []));
  const asLeaf = makeLeaf(server.root, 'spiffe://example.org/thief');
  const theft = Buffer.from(makeCrl(asLeaf, []));
  const nothing = Buffer.alloc(0);
  const bad = [
    { bundles: [], crl: nothing },
    { bundles: [{ ...server.bundles[0]!, x509Authorities: [Buffer.from('junk')] }], crl: nothing },
    { bundles: server.bundles, crl },
    { bundles: server.bundles, crl: theft },
    { bundles: server.bundles, crl: Buffer.from('junk') },
  ];
  for (const [at, value] of bad.entries()) {
    const from = session.heard.length;
    const nonce = Buffer.from(`${at}`);
    session.say({ $case: 'bundle', value: { ...value, version: `bad${at}`, nonce } });
    const { type, version, nonce: answered, error } = await session.next('nack', from);
    assert.deepEqual([type, version, answered], [2, `bad${at}`, nonce]);
    assert.notEqual(error, '');
  }
  const segments = [wireSegment('odd', { hosts: ['10.0.0.0/99'] })];
  for (const update of [
    segmentUpdate('s2', { baseVersion: 's1', segments }),
    segmentUpdate('s3', { baseVersion: 'another', removedIds: ['echo'] }),
    segmentUpdate('s4', { full: true, segments }),
  ]) {
    const from = session.heard.length;
    session.say({ $case: 'segments', value: update });
    const { type, version } = await session.next('nack', from);
    assert.deepEqual([type, version], [3, update.version]);
  }
  assert.equal(await ask(port, `127.0.0.1:${target.port}`, peer(server.root)), '200');
});

test('applies a set in chunks when the last has come, and not a part of it', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { connector, port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('before')]);
  await heard('segments');
  const to = `127.0.0.1:${target.port}`;
  const part = { full: true, last: false };
  session.say({
    $case: 'segments',
    value: segmentUpdate('cut', { ...part, segments: [wireSegment('stray')] }),
  });
  const many = Array.from({ length: 10_000 }, (_, at) =>
    wireSegment(`s${at}`, { hosts: [`h${at}.example.org`, '10.0.0.0/8'], priority: at + 1 }),
  );
  for (let at = 0; at < 10_000; at += 1000) {
    const segments = many.slice(at, at + 1000);
    session.say({ $case: 'segments', value: segmentUpdate('big', { ...part, segments }) });
  }
  session.say({ $case: 'ping', value: { serverTimeMs: 0n } });
  const { versions } = await session.next('heartbeat');
  assert.equal(versions.find(({ type }) => type === 3)?.version, 's1');
  assert.equal(await ask(port, to, peer(server.root)), '200');
  const from = session.heard.length;
  const last = { full: true, segments: [wireSegment('last', { hosts: ['127.0.0.9'] })] };
  session.say({ $case: 'segments', value: segmentUpdate('big', last) });
  assert.equal((await session.next('ack', from)).version, 'big');
  assert.equal(connector.serving.held.table.segments.length, 10_001);
  assert.equal(await ask(port, to, peer(server.root)), '403 no-segment');
});

test('renews under an open flow: bytes go on, a new session comes with the new SVID', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const flow = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  const before = flow.socket.getPeerCertificate().serialNumber;
  const command = {
    nonce: Buffer.from('n'),
    kind: { $case: 'renewNow' as const, value: { reason: '' } },
  };
  session.say({ $case: 'command', value: command });
  const { csr } = await session.next('renewCsr');
  assert.notDeepEqual(server.enrolments[0]?.csr, csr);

  const foreign = server.svidFor(server.enrolments[0]!.csr);
  session.say({ $case: 'svid', value: { svid: foreign, version: 'x', nonce: Buffer.from('x') } });
  assert.equal((await session.next('nack')).type, 1);
  const svid = server.svidFor(csr);
  const from = session.heard.length;
  session.say({ $case: 'svid', value: { svid, version: 'v', nonce: Buffer.from('v') } });
  assert.equal((await session.next('ack', from)).version, 'v');
  await session.over();
  session.end();
  const next = await server.session(1);
  assert.deepEqual(
    (await next.next('hello')).versions.map(({ version }) => version),
    ['b1', 's1'],
  );
  assert.equal(await echo(flow.socket, 'all the while'), 'all the while');
  const anew = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  assert.notEqual(anew.socket.getPeerCertificate().serialNumber, before);
  for (const { socket } of [flow, anew]) socket.destroy();
});

test('revoked: closes every flow, takes no other, does not come back', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard, ended } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const to = `127.0.0.1:${target.port}`;
  const flow = await askFlow(port, to, peer(server.root));
  const closed = new Promise((resolve) => flow.socket.resume().once('close', resolve));
  const kind = { $case: 'revoke' as const, value: { reason: 'stolen' } };
  session.say({ $case: 'command', value: { nonce: Buffer.from('n'), kind } });
  await closed;
  await session.over();
  session.end();
  assert.equal(await ended, 'revoked');
  await assert.rejects(askFlow(port, to, peer(server.root)));
  assert.equal(server.sessions.length, 1);
});

test('refused as revoked when it comes back, it ends the same way', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const { ended } = await startConnector(context, server);
  (await server.session(0)).refuse('CONNECTOR_REVOKED', status.PERMISSION_DENIED);
  assert.equal(await ended, 'revoked');
});

test('an SVID that the server no longer takes is replaced by the same proof and key', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  await startConnector(context, server);
  (await server.session(0)).refuse('CONNECTOR_UNKNOWN', status.UNAUTHENTICATED);
  await server.session(1);
  const keys = server.enrolments.map(({ csr }) => assertValue(parseCsr(csr)).publicKey.spki);
  assert.equal(keys.length, 2);
  assert.deepEqual(keys[0], keys[1]);
});

test('drains: no new flow, the open one ends in its time, then Goodbye', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard, ended } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const to = `127.0.0.1:${target.port}`;
  const flow = await askFlow(port, to, peer(server.root));
  const drain = (deadlineMs: number) =>
    session.say({
      $case: 'command',
      value: {
        nonce: Buffer.from('n'),
        kind: { $case: 'drain', value: { deadlineMs: BigInt(deadlineMs), reason: '' } },
      },
    });
  drain(Date.now() + 3_600_000);
  await heard('command');
  assert.equal(await ask(port, to, peer(server.root)), '503 connector-draining');
  const resume = { nonce: Buffer.from('r'), kind: { $case: 'resume' as const, value: {} } };
  session.say({ $case: 'command', value: resume });
  await heard('command', 2);
  assert.equal(await ask(port, to, peer(server.root)), '200');
  drain(Date.now() + 3_600_000);
  assert.equal(await echo(flow.socket, 'not yet done'), 'not yet done');
  flow.socket.end();
  assert.deepEqual(await session.next('goodbye'), { drained: true, openFlows: 0n });
  session.end();
  assert.equal(await ended, 'stopped');
});

test('at the deadline of a drain the flows that are left are closed, and counted', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard, ended } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const flow = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  const closed = new Promise((resolve) => flow.socket.resume().once('close', resolve));
  const kind = { $case: 'drain' as const, value: { deadlineMs: BigInt(Date.now()), reason: '' } };
  session.say({ $case: 'command', value: { nonce: Buffer.from('n'), kind } });
  await closed;
  assert.deepEqual(await session.next('goodbye'), { drained: false, openFlows: 1n });
  session.end();
  assert.equal(await ended, 'stopped');
});

test('without the server it serves for as long as it may, and again when it is back', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  let aheadMs = 0;
  const nowMs = (): number => Date.now() + aheadMs;
  const { connector, port, heard } = await startConnector(context, server, { nowMs });
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')], 3600);
  await heard('segments');
  const to = `127.0.0.1:${target.port}`;
  const flow = await askFlow(port, to, peer(server.root));
  session.refuse('', status.UNAVAILABLE);
  await heard('session-ended');
  assert.equal(await echo(flow.socket, 'alone'), 'alone');
  const closed = new Promise((resolve) => flow.socket.resume().once('close', resolve));
  aheadMs = 3_600_000;
  await closed;
  assert.equal(connector.serving.standing, 'closed');
  assert.equal(await ask(port, to, peer(server.root)), '503 connector-closed');
  const back = await server.session(1);
  server.welcome(back, [wireSegment('echo')], 3600);
  await heard('segments', 2);
  assert.equal(await ask(port, to, peer(server.root)), '200');
});

test('what it does not know of a newer server is passed over; an unknown command is nacked', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const { heard } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, []);
  // Field 99, three bytes; then a command with a nonce and nothing that this .proto knows.
  session.sayRaw(Buffer.from('9a0603010203', 'hex'));
  await heard('unknown-message');
  session.say({ $case: 'command', value: { nonce: Buffer.from('new'), kind: undefined } });
  const nack = await session.next('nack');
  assert.deepEqual([nack.type, nack.nonce], [4, Buffer.from('new')]);
  session.say({ $case: 'ping', value: { serverTimeMs: 0n } });
  await session.next('heartbeat');
  assert.equal(server.sessions.length, 1);
});

test('reaches a target by TLS with its SVID where the segment says so, and no other than that', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const { port, heard, said } = await startConnector(context, server);
  const session = await server.session(0);
  const seen: (string | undefined)[] = [];
  const leaf = makeLeaf(server.root, 'spiffe://example.org/db');
  const target = await startTlsTarget(context, leaf, server.root, seen);
  const tls = { upstreamTls: UpstreamTls.UPSTREAM_TLS_SVID };
  server.welcome(session, [
    wireSegment('right', { ...tls, upstreamId: 'spiffe://example.org/db' }),
    wireSegment('wrong', {
      ...tls,
      hosts: ['localhost'],
      upstreamId: 'spiffe://example.org/other',
    }),
  ]);
  await heard('segments');
  const flow = await askFlow(port, `127.0.0.1:${target}`, peer(server.root));
  assert.equal(flow.status, 200);
  assert.equal(await echo(flow.socket, 'inside TLS'), 'inside TLS');
  flow.socket.destroy();
  assert.equal(seen[0], `URI:${edge}`);
  assert.equal(await ask(port, `localhost:${target}`, peer(server.root)), '502 target-not-trusted');
  assert.ok(said.length > 0);
});

test('says which targets are up and which are not, and only what changes', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  await startConnector(context, server);
  const session = await server.session(0);
  const check = {
    healthCheck: HealthCheckKind.HEALTH_CHECK_KIND_TCP,
    healthCheckIntervalSeconds: 1,
    ports: [{ first: target.port, last: target.port }],
  };
  server.welcome(session, [
    wireSegment('up', check),
    wireSegment('down', { ...check, ports: [{ first: 1, last: 1 }] }),
    wireSegment('udp', { protocol: Protocol.PROTOCOL_UDP }),
  ]);
  const told = () =>
    session.heard
      .flatMap((kind) => (kind.$case === 'segmentHealth' ? kind.value.segments : []))
      .map(({ segmentId, target: where, health }) => `${segmentId} ${where} ${health}`)
      .sort();
  const all = ['down 127.0.0.1:1 2', 'udp 127.0.0.1:1 2', `up 127.0.0.1:${target.port} 1`];
  await eventually(() => told().length >= all.length, 30_000);
  assert.deepEqual(told(), all);
});

test('a peer that has said all is still answered', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context, (socket) => {
    socket.resume().on('end', () => socket.end('now that you have said all'));
  });
  const { port, heard } = await startConnector(context, server);
  server.welcome(await server.session(0), [wireSegment('echo')]);
  await heard('segments');
  const { socket } = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  socket.end('a question');
  assert.equal(Buffer.concat(await socket.toArray()).toString(), 'now that you have said all');
});

test('does not enrol with a server that is not the one of its trust domain', async (context) => {
  const server = await ScriptedConnectorServer.start(context, 'spiffe://example.org/spire/agent/x');
  await assert.rejects(
    startConnector(context, server),
    /not spiffe:\/\/example\.org\/spire\/server/,
  );
  const [real, other] = [await ScriptedConnectorServer.start(context), makeRoot('example.org')];
  const authorities = new Map([['example.org', [new X509Certificate(other.pem)]]]);
  await assert.rejects(startConnector(context, real, { authorities }));
  assert.deepEqual([server.enrolments, real.enrolments], [[], []]);
});

test('closes its flows while its node is banned, and takes others when that is over', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  server.welcome(session, [wireSegment('echo')]);
  await heard('segments');
  const to = `127.0.0.1:${target.port}`;
  const { socket } = await askFlow(port, to, peer(server.root));
  const closed = new Promise((resolve) => socket.resume().once('close', resolve));
  session.refuse('CONNECTOR_NODE', status.PERMISSION_DENIED);
  await closed;
  server.welcome(await server.session(1), [wireSegment('echo')]);
  await heard('segments', 2);
  assert.equal(await ask(port, to, peer(server.root)), '200');
});

test('takes no flow once its own SVID has ended', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const target = await startTarget(context);
  let aheadMs = 0;
  const nowMs = (): number => Date.now() + aheadMs;
  const { port, heard } = await startConnector(context, server, { nowMs });
  server.welcome(await server.session(0), [wireSegment('echo')]);
  await heard('segments');
  const { socket } = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  const closed = new Promise((resolve) => socket.resume().once('close', resolve));
  aheadMs = server.svidMs;
  await closed;
});

test('no more is read from a peer than its target takes', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const held: import('node:net').Socket[] = [];
  const target = await startTarget(context, (socket) => void held.push(socket.pause()));
  const { port, heard } = await startConnector(context, server);
  server.welcome(await server.session(0), [wireSegment('slow')]);
  await heard('segments');
  const { socket } = await askFlow(port, `127.0.0.1:${target.port}`, peer(server.root));
  const chunk = Buffer.alloc(1 << 20, 7);
  let sent = 0;
  const stalled = (): Promise<boolean> =>
    new Promise((resolve) => {
      sent += chunk.length;
      // What the sockets on the way hold is a few MiB; a forwarder without back-pressure takes it all.
      if (socket.write(chunk) || sent < 24 << 20) return void setImmediate(resolve, false);
      return resolve(true);
    });
  while (!(await stalled())) assert.ok(sent < 1 << 30);
  assert.ok(socket.bytesWritten < 24 << 20 || socket.writableLength > 0);
  let got = 0;
  const [slow] = held;
  const done = new Promise<void>((resolve) => {
    slow?.on('data', (bytes: Buffer) => {
      got += bytes.length;
      if (got === sent) resolve();
    });
  });
  slow?.resume();
  await done;
  socket.destroy();
});
