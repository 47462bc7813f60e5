import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { HealthChecks, type TargetState } from '../../examples/connector/health.ts';
import type { Segment } from '../../examples/connector/wire.ts';
import { HealthCheckKind } from '../../src/gen/signet/connector/v1/connector.ts';
import { askFlow } from '../support/connector-peer.ts';
import { startConnector } from '../support/connector-rig.ts';
import { soon } from '../support/processes.ts';
import {
  pemOfKey,
  ScriptedConnectorServer,
  wireSegment,
} from '../support/scripted-connector-server.ts';
import { makeLeaf } from '../support/x509.ts';

const UPGRADE = 'HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n';
const START_MS = 1_800_000_000_000;

function segment(id: string, port: number, fields: Partial<Segment> = {}): Segment {
  return {
    id,
    hosts: ['127.0.0.1'],
    protocol: 'PROTOCOL_TCP',
    ports: [{ first: port, last: port }],
    clients: [],
    upstreamTls: 'UPSTREAM_TLS_NONE',
    upstreamId: '',
    healthCheck: 'HEALTH_CHECK_KIND_HTTP',
    healthCheckIntervalSeconds: 10,
    healthCheckPath: '',
    draining: false,
    priority: 0,
    ...fields,
  };
}

/** A target whose answers are the test's; what was asked of it is kept. */
async function target(
  context: TestContext,
  answer: (path: string, response: ServerResponse) => void,
) {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? '');
    answer(request.url ?? '', response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { asked, port: (server.address() as AddressInfo).port };
}

function checks() {
  const told: TargetState[] = [];
  const health = new HealthChecks((changes) => told.push(...changes));
  return { health, told };
}

test('an HTTP check is up below 400, by the path of the segment', async (context) => {
  const { port, asked } = await target(context, (path, response) => {
    if (path === '/silent') response.destroy();
    else if (path === '/endless') response.writeHead(200).write('.');
    else if (path === '/upgrade') response.socket?.write(UPGRADE);
    else response.writeHead(Number(path.slice(1) || '200')).end();
  });
  const { health, told } = checks();
  const paths = ['', '/204', '/302', '/399', '/400', '/404', '/503', '/silent', '/endless'];
  const all = [...paths, '/upgrade', '/not a path'].map((healthCheckPath) =>
    segment(healthCheckPath, port, { healthCheckPath }),
  );
  health.tick(all, START_MS);
  await soon(async () => told.length === all.length);
  const up = told.filter((one) => one.health === 'TARGET_HEALTH_UP');
  assert.deepEqual(
    up.map(({ segmentId }) => segmentId).sort(),
    ['', '/204', '/302', '/399', '/endless'].sort(),
  );
  assert.ok(up.every((one) => one.error === '' && one.target === `127.0.0.1:${port}`));
  const errorOf = (id: string) => told.find(({ segmentId }) => segmentId === id)?.error;
  for (const code of [400, 404, 503]) assert.equal(errorOf(`/${code}`), `HTTP ${code}`);
  for (const id of ['/silent', '/upgrade', '/not a path']) assert.notEqual(errorOf(id), '', id);
  assert.ok(asked.includes('/'));
  assert.ok(!asked.includes('/not a path'));
});

test('an HTTP check of a port that takes connections and is no HTTP is down', async (context) => {
  const server = createTcpServer((socket) => socket.end('SSH-2.0-x\r\n').on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { health, told } = checks();
  const tcp = { healthCheck: 'HEALTH_CHECK_KIND_TCP' };
  health.tick([segment('http', port), segment('tcp', port, tcp)], START_MS);
  await soon(async () => told.length === 2);
  const found = Object.fromEntries(told.map((one) => [one.segmentId, one.health]));
  assert.deepEqual(found, { http: 'TARGET_HEALTH_DOWN', tcp: 'TARGET_HEALTH_UP' });
});

test('a target is asked again when its interval is over, and only what changed is told', async (context) => {
  let code = 200;
  const { port, asked } = await target(context, (_, response) => response.writeHead(code).end());
  const { health, told } = checks();
  const all = [segment('a', port, { healthCheckPath: '/a' })];
  const ofA = () => asked.filter((path) => path === '/a').length;
  health.tick(all, START_MS);
  await soon(async () => told.length === 1);
  health.tick(all, START_MS + 9999);
  health.tick([segment('later', port)], START_MS + 9999);
  await soon(async () => told.length === 2);
  assert.equal(ofA(), 1);
  // What ended is seen one turn after it was told.
  const again = async (ms: number, times: number) => {
    await soon(async () => {
      health.tick(all, START_MS + ms);
      return ofA() === times;
    });
  };
  await again(10_000, 2);
  code = 500;
  await again(20_000, 3);
  await soon(async () => told.length === 3);
  const changes = told.map((one) => `${one.segmentId} ${one.health}`);
  assert.deepEqual(changes, [
    'a TARGET_HEALTH_UP',
    'later TARGET_HEALTH_UP',
    'a TARGET_HEALTH_DOWN',
  ]);
  assert.deepEqual(health.known(), [told[2], told[1]]);
  health.follow([]);
  assert.deepEqual(health.known(), []);
});

test('a target that does not answer is asked once, and no more than 20 targets at one time', async (context) => {
  const { port, asked } = await target(context, () => {});
  const { health } = checks();
  const all = Array.from({ length: 25 }, (_, at) => segment(`s${at}`, port));
  health.tick(all, START_MS);
  health.tick(all, START_MS + 60_000);
  await soon(async () => asked.length === 20);
  const { health: other, told } = checks();
  health.tick(all, START_MS + 120_000);
  const answers = await target(context, (_, response) => response.end());
  other.tick([segment('later', answers.port)], START_MS);
  await soon(async () => told.length === 1);
  assert.equal(asked.length, 20);
});

test('nothing is asked where nobody said so, or nobody can tell what to ask', async (context) => {
  const { port, asked } = await target(context, (_, response) => response.end());
  const { health, told } = checks();
  const all = [
    segment('none', port, { healthCheck: 'HEALTH_CHECK_KIND_NONE' }),
    segment('access', port, { healthCheck: 'HEALTH_CHECK_KIND_ON_ACCESS' }),
    segment('grpc', port, { healthCheck: 'HEALTH_CHECK_KIND_GRPC' }),
    segment('wide', port, { hosts: ['*.localhost', '127.0.0.0/8'] }),
    segment('udp', port, { protocol: 'PROTOCOL_UDP' }),
  ];
  health.tick(all, START_MS);
  health.tick([segment('asked', port)], START_MS);
  await soon(async () => told.length === 1);
  assert.deepEqual([told[0]?.segmentId, asked.length], ['asked', 1]);
});

test('on access: the first flow tells how its target is, and no check asks', async (context) => {
  const server = await ScriptedConnectorServer.start(context);
  const { port: up, asked } = await target(context, (_, response) => response.end());
  const { port, heard } = await startConnector(context, server);
  const session = await server.session(0);
  const healthCheck = HealthCheckKind.HEALTH_CHECK_KIND_ON_ACCESS;
  const timed = { healthCheck, healthCheckIntervalSeconds: 1 };
  server.welcome(session, [
    wireSegment('up', { ...timed, ports: [{ first: up, last: up }] }),
    wireSegment('down', { ...timed, hosts: ['127.0.0.2'], ports: [{ first: 1, last: 1 }] }),
    wireSegment('silent', { hosts: ['127.0.0.3'], ports: [{ first: 1, last: 1 }] }),
  ]);
  await heard('segments');
  const leaf = makeLeaf(server.root, 'spiffe://example.org/app');
  for (const to of ['127.0.0.3:1', `127.0.0.1:${up}`, `127.0.0.1:${up}`, '127.0.0.2:1']) {
    const flow = await askFlow(port, to, { key: pemOfKey(leaf), cert: leaf.pem });
    flow.socket.destroy();
  }
  const told = (of: typeof session) =>
    of.heard.flatMap((kind) => (kind.$case === 'segmentHealth' ? kind.value.segments : []));
  await soon(async () => told(session).length === 2);
  const [first, second] = told(session);
  const facts = (one = first) => [one?.segmentId, one?.target, one?.health, one?.error === ''];
  assert.deepEqual(facts(), ['up', `127.0.0.1:${up}`, 1, true]);
  assert.deepEqual(facts(second), ['down', '127.0.0.2:1', 2, false]);
  assert.deepEqual(asked, []);
  // The next session hears of what is known.
  session.end();
  const next = await server.session(1);
  server.welcome(next, []);
  const { segments } = await next.next('segmentHealth');
  assert.deepEqual(segments.map(({ segmentId }) => segmentId).sort(), ['down', 'up']);
});
