import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { ConnectorOptions } from '../../examples/connector/connector.ts';
import { makeCsr, publicKeyOf } from '../../examples/connector/csr.ts';
import { INSTANCE, newKey, textToSign } from '../../examples/connector/enrol.ts';
import { pemOf } from '../../examples/connector/spiffe.ts';
import { connectTo } from '../../examples/connector/transport.ts';
import { type EnrolResponse, Refused } from '../../examples/connector/wire.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { ResourceType } from '../../src/gen/signet/connector/v1/connector.ts';
import { askFlow, echo, type PeerIdentity, startTarget } from '../support/connector-peer.ts';
import { ConnectorRig, type RunningConnector, startConnector } from '../support/connector-rig.ts';
import { eventually } from '../support/dev.ts';
import { handMadeSession } from '../support/hand-made-session.ts';
import { soon } from '../support/processes.ts';
import { wireSegment } from '../support/scripted-connector-server.ts';
import { ask, attest } from '../support/server.ts';

// What goes wrong between the reference connector and a server process.

let rig: ConnectorRig;
let app: PeerIdentity;

before(async () => {
  rig = await ConnectorRig.start();
  await rig.putGroup({ proofs: ['provisioning-key', 'bound-key'] });
  await rig.putGroup({ name: 'other' });
  await rig.putSegment('echo', { ports: [{ first: 1024, last: 65_535 }] });
  app = await rig.mint('/app');
});

after(() => rig?.stop());

async function start(
  context: TestContext,
  options: Partial<ConnectorOptions> = {},
): Promise<RunningConnector> {
  const proof = { kind: 'provisioning-key' as const, key: await rig.createKey() };
  const running = await startConnector(context, rig, { proof, ...options });
  await running.heard('segments');
  return running;
}

function folder(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const answer = async (port: number, to: string): Promise<string> => {
  const { status, reason, socket } = await askFlow(port, to, app);
  socket.destroy();
  return `${status} ${reason}`.trim();
};

/** What is between a connector and the server, and can hold its breath. */
async function startProxy(context: TestContext) {
  const sockets = new Set<Socket>();
  let isStalled = false;
  const server = createServer((socket) => {
    const onward = connect({ port: rig.port, host: '127.0.0.1' });
    for (const [one, two] of [[socket, onward] as const, [onward, socket] as const]) {
      sockets.add(one);
      one.on('data', (bytes) => void (isStalled || two.write(bytes)));
      one.on('close', () => two.destroy()).on('error', () => one.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    stall: (on: boolean): void => {
      isStalled = on;
    },
  };
}

test('kill -9 of the server: flows live on, the session comes back, nothing is lost', async (context) => {
  const target = await startTarget(context);
  const to = `127.0.0.1:${target.port}`;
  const one = await start(context);
  const { socket } = await askFlow(one.port, to, app);
  await rig.fleet.stopServer('SIGKILL');
  await one.heard('session-ended');
  assert.equal(await echo(socket, 'nobody there'), 'nobody there');
  assert.equal(await answer(one.port, to), '200');
  await rig.fleet.startServer();
  await one.heard('session', 2);
  assert.equal(await echo(socket, 'back again'), 'back again');
  await rig.putSegment('more', { hosts: ['127.0.0.7'] });
  await soon(async () => (await answer(one.port, '127.0.0.7:1')) === '502 target-unreachable');
  assert.equal(one.said.filter(({ event }) => event === 'enrolled').length, 1);
  socket.destroy();
});

test('a partition that closes nothing: found out, lived through, healed', async (context) => {
  const target = await startTarget(context);
  const to = `127.0.0.1:${target.port}`;
  const proxy = await startProxy(context);
  const one = await start(context, { server: `127.0.0.1:${proxy.port}`, keepaliveMs: 2000 });
  const { socket } = await askFlow(one.port, to, app);
  proxy.stall(true);
  await one.heard('session-ended');
  assert.equal(await echo(socket, 'cut off'), 'cut off');
  await rig.putSegment('meanwhile', { hosts: ['127.0.0.8'] });
  assert.equal(await answer(one.port, '127.0.0.8:1'), '403 no-segment');
  proxy.stall(false);
  await soon(async () => (await answer(one.port, '127.0.0.8:1')) === '502 target-unreachable');
  assert.equal(await echo(socket, 'whole again'), 'whole again');
  socket.destroy();
});

test('a copy of its folder: the first is told and does not fight, flows of both live on', async (context) => {
  const target = await startTarget(context);
  const state = folder(context);
  const one = await start(context, { state });
  const { socket } = await askFlow(one.port, `127.0.0.1:${target.port}`, app);
  const copy = join(folder(context), 'copy');
  cpSync(state, copy, { recursive: true });
  const two = await start(context, { state: copy });
  await one.heard('session-ended');
  const ends = one.said.filter(({ event }) => event === 'session-ended');
  assert.deepEqual(
    ends.map(({ code }) => code),
    ['CONNECTOR_SESSION_REPLACED'],
  );
  assert.equal(two.connector.spiffeId, one.connector.spiffeId);
  assert.equal(await echo(socket, 'still open'), 'still open');
  assert.equal(two.said.filter(({ event }) => event === 'session-ended').length, 0);
  socket.destroy();
});

test('a copy of a bound key is refused by its counter, and the first goes on', async (context) => {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const registration = {
    group: 'edge',
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    connectorId: 'bound',
    maxRecoveries: 5,
    description: '',
  };
  await ask(rig.admin(), ConnectorAdminService.registerBoundKey, registration);
  const proof = { kind: 'bound-key' as const, key };
  const one = await start(context, { proof });
  assert.match(one.connector.spiffeId, /\/edge\/bound$/);
  // Its own folder and its own key, but the registered one copied.
  await assert.rejects(start(context, { proof }), refusedBy('CONNECTOR_CLONE_SUSPECTED'));
  assert.equal(one.said.filter(({ event }) => event === 'session-ended').length, 0);
});

function refusedBy(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

test('each way in which a key or a clock is wrong has its own code', async (context) => {
  const once1 = await rig.createKey({ maxUses: 1 });
  await start(context, { proof: { kind: 'provisioning-key', key: once1 } });
  const own = async (fields: Parameters<ConnectorRig['createKey']>[0] = {}) => ({
    proof: { kind: 'provisioning-key' as const, key: await rig.createKey(fields) },
  });
  const hour = 3_600_000;
  const cases: readonly [string, Partial<ConnectorOptions>][] = [
    ['CONNECTOR_KEY_EXHAUSTED', { proof: { kind: 'provisioning-key', key: once1 } }],
    [
      'CONNECTOR_KEY_UNKNOWN',
      { proof: { kind: 'provisioning-key', key: `${once1.slice(0, -2)}AA` } },
    ],
    ['CONNECTOR_KEY_UNKNOWN', { proof: { kind: 'provisioning-key', key: 'nonsense' } }],
    ['CONNECTOR_KEY_GROUP', await own({ group: 'other' })],
    ['CONNECTOR_KEY_CIDR', await own({ cidrs: ['192.0.2.0/24'] })],
    ['CONNECTOR_GROUP_UNKNOWN', { ...(await own()), group: 'nowhere' }],
    ['CONNECTOR_CLOCK_SKEW', { ...(await own()), nowMs: () => Date.now() - hour }],
    ['CONNECTOR_CLOCK_SKEW', { ...(await own()), nowMs: () => Date.now() + hour }],
  ];
  for (const [code, options] of cases) {
    await assert.rejects(start(context, options), refusedBy(code), code);
  }
  const brief = await own({ ttlSeconds: 1, maxUses: 1000 });
  await soon(async () => {
    const state = folder(context);
    const tried = await startConnector(context, rig, { ...brief, state }).catch((error) => error);
    return tried instanceof Refused && refusedBy('CONNECTOR_KEY_EXPIRED')(tried);
  });
});

/** Enrols by hand, to send what the reference connector would not. */
async function enrolment(context: TestContext, provisioningKey: string) {
  const own = [new X509Certificate(rig.root.pem)];
  const { client, seenHash } = connectTo({
    address: `127.0.0.1:${rig.port}`,
    trustDomain: 'example.org',
    authorities: new Map([['example.org', own]]),
    keepaliveMs: 30_000,
  });
  context.after(() => client.close());
  const key = newKey();
  const request = async (fields: object = {}): Promise<object> => {
    const publicKey = publicKeyOf(key);
    const { challenge } = await client.unary<{ challenge: Buffer }>('GetChallenge', { publicKey });
    const csr = makeCsr(key);
    return {
      csr,
      group: 'edge',
      instance: INSTANCE,
      challenge,
      challengeSignature: sign('sha256', textToSign(challenge, csr), key),
      clockMs: Date.now(),
      serverCertificateSha256: seenHash(),
      provisioningKey: { key: provisioningKey, kubernetesToken: '' },
      ...fields,
    };
  };
  const send = (asked: object): Promise<EnrolResponse> => client.unary('Enrol', asked);
  return { request, send };
}

test('an enrolment that is sent again, or not as it was signed, gets nothing', async (context) => {
  const { request, send } = await enrolment(context, await rig.createKey({ maxUses: 1 }));
  const asked = await request();
  const first = await send(asked);
  await assert.rejects(send(asked), refusedBy('CONNECTOR_CHALLENGE_USED'));
  // A new challenge for the same key is a repetition, and uses nothing up.
  assert.equal((await send(await request())).connectorId, first.connectorId);
  const other = makeCsr(newKey());
  await assert.rejects(send(await request({ csr: other })), Refused);
  const changed = { challengeSignature: Buffer.from('3006020101020101', 'hex') };
  await assert.rejects(send(await request(changed)), refusedBy('CONNECTOR_SIGNATURE'));
  const between = { serverCertificateSha256: Buffer.alloc(32, 7) };
  await assert.rejects(send(await request(between)), refusedBy('CONNECTOR_TLS_INTERCEPTED'));
});

/** A session by hand, in place of that of a connector. */
async function sessionByHand(context: TestContext) {
  const state = folder(context);
  const one = await start(context, { state });
  one.connector.close();
  await one.ended;
  return handMadeSession(rig, state);
}

test('a message of an unknown kind is noticed and passed over; a hundred end the session', async (context) => {
  const { stream, heard, ended, last } = await sessionByHand(context);
  await last(1);
  const unknown = Buffer.from('9a0603010203', 'hex');
  stream.write(unknown);
  const notices = () => heard.flatMap((kind) => (kind.$case === 'notice' ? [kind.value.code] : []));
  await eventually(() => notices().length > 0, 30_000);
  assert.equal(notices()[0], 'CONNECTOR_MESSAGE_UNKNOWN');
  for (let at = 0; at < 100; at++) stream.write(unknown);
  assert.equal(await ended, 'CONNECTOR_SESSION_PROTOCOL');
});

test('who answers late gets the newest in one update, not a queue of all', async (context) => {
  const { stream, say, updates, last } = await sessionByHand(context);
  const first = await last(1);
  const put = async (priority: number): Promise<void> => {
    const ports = [{ first: 5, last: 5 }];
    await rig.putSegment('changed', { hosts: ['127.0.0.99'], ports, priority });
  };
  for (let priority = 1; priority <= 20; priority++) await put(priority);
  const { type, nonce, version } = { ...first, type: ResourceType.RESOURCE_TYPE_SEGMENTS };
  say({ $case: 'ack', value: { type, version, nonce } });
  const second = await last(2);
  assert.deepEqual([second.full, second.baseVersion], [false, version]);
  assert.deepEqual(
    updates()
      .filter((update) => update.version === second.version)
      .flatMap(({ segments }) => segments.map(({ id, priority }) => `${id} ${priority}`)),
    ['changed 20'],
  );
  // A connector that could not take it gets all.
  say({
    $case: 'nack',
    value: { type, version: second.version, nonce: second.nonce, error: 'no' },
  });
  await put(21);
  assert.equal((await last(3)).full, true);
  stream.cancel();
});

test('the agent above it is banned: its flows are closed', async (context) => {
  await rig.putGroup({ name: 'nodes', proofs: ['x509-svid'], spiffeIds: [`${AGENTS}*`] });
  const ports = [{ first: 1024, last: 65_535 }];
  const segment = wireSegment('of-nodes', { ports });
  await ask(rig.admin(), ConnectorAdminService.putSegment, {
    segment: { segment, groups: ['nodes'] },
    expectedRevision: undefined,
  });
  const { shown, id } = await attestedAgent();
  const one = await start(context, { group: 'nodes', proof: { kind: 'x509-svid', shown } });
  const target = await startTarget(context);
  const { socket } = await askFlow(one.port, `127.0.0.1:${target.port}`, app);
  const closed = once(socket.resume(), 'close');
  const banned = await rig.fleet.cli('agent', 'ban', '--spiffe-id', id);
  assert.equal(banned.code, 0, banned.stderr);
  await closed;
  await one.heard('session-ended');
  const end = one.said.find(({ event }) => event === 'session-ended');
  assert.ok(['CONNECTOR_NODE', 'CONNECTOR_REVOKED'].includes(String(end?.code)), String(end?.code));
});

const AGENTS = 'spiffe://example.org/spire/agent/join_token/';

/** An agent, as far as its SVID. */
async function attestedAgent() {
  const { value } = (await rig.fleet.json('token', 'generate')) as { value: string };
  const key = newKey();
  const { svid } = await attest(rig.client(), value, makeCsr(key));
  const pem = String(key.export({ type: 'pkcs8', format: 'pem' }));
  return { shown: { key: pem, cert: pemOf(svid?.certChain ?? []) }, id: `${AGENTS}${value}` };
}

test('hundreds of segments, put at once, are all served, and a change of one after them', async (context) => {
  const one = await start(context);
  const held = () => one.connector.serving.held.table.segments.length;
  const before = held();
  const puts = Array.from(
    { length: 300 },
    (_, at) => () => rig.putSegment(`many-${at}`, { hosts: [`h${at}.example.net`] }),
  );
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let put = puts.pop(); put !== undefined; put = puts.pop()) await put();
    }),
  );
  await eventually(() => held() === before + 300, 60_000);
  assert.match(await answer(one.port, 'h299.example.net:1'), /^502/);
  await ask(rig.admin(), ConnectorAdminService.deleteSegment, { name: 'many-299' });
  await eventually(() => held() === before + 299, 60_000);
  assert.equal(await answer(one.port, 'h299.example.net:1'), '403 no-segment');
});
