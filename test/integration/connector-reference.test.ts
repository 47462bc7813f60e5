import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { askFlow, echo, type PeerIdentity, startTarget } from '../support/connector-peer.ts';
import { ConnectorRig, type RunningConnector, startConnector } from '../support/connector-rig.ts';
import { soon } from '../support/processes.ts';
import { ask, assertStatus } from '../support/server.ts';

// The reference connector against a server process: nothing between them but the protocol.

let rig: ConnectorRig;
let app: PeerIdentity;
let other: PeerIdentity;

before(async () => {
  rig = await ConnectorRig.start({ serverYaml: 'crl: { enabled: true }' });
  await rig.putGroup();
  [app, other] = await Promise.all([rig.mint('/app'), rig.mint('/other')]);
});

after(() => rig?.stop());

const all = { ports: [{ first: 1024, last: 65_535 }] };

async function start(context: Parameters<typeof startConnector>[0]): Promise<RunningConnector> {
  const key = await rig.createKey();
  return startConnector(context, rig, { proof: { kind: 'provisioning-key', key } });
}

const answer = async (port: number, to: string, identity: PeerIdentity): Promise<string> => {
  const { status, reason, socket } = await askFlow(port, to, identity);
  socket.destroy();
  return `${status} ${reason}`.trim();
};

const answers = (port: number, to: string, identity: PeerIdentity, wanted: string): Promise<void> =>
  soon(async () => (await answer(port, to, identity)) === wanted);

const info = async ({ connector }: RunningConnector) => {
  const name = connector.spiffeId.split('/').at(-1) ?? '';
  return ask(rig.admin(), ConnectorAdminService.getConnector, { name });
};

const select = ({ connector }: RunningConnector) => ({
  ids: [connector.spiffeId.split('/').at(-1) ?? ''],
  group: '',
});

/** Sends random bytes through an echo until told to stop; both ends have to hash to the same. */
function pour(socket: TLSSocket): { stop(): Promise<void> } {
  const [sent, got] = [createHash('sha256'), createHash('sha256')];
  let [bytes, back, on] = [0, 0, true];
  socket.on('data', (chunk: Buffer) => {
    got.update(chunk);
    back += chunk.length;
  });
  const pouring = (async () => {
    while (on) {
      const chunk = randomBytes(4096);
      sent.update(chunk);
      bytes += chunk.length;
      if (!socket.write(chunk)) await once(socket, 'drain');
      await new Promise(setImmediate);
    }
  })();
  return {
    async stop() {
      on = false;
      await pouring;
      while (back < bytes) await once(socket, 'data');
      assert.equal(got.digest('hex'), sent.digest('hex'));
    },
  };
}

test('enrols, and lets through what its segments allow: as they change, too', async (context) => {
  const target = await startTarget(context);
  const to = `127.0.0.1:${target.port}`;
  const one = await start(context);
  await one.heard('segments');
  assert.match(one.connector.spiffeId, /^spiffe:\/\/example\.org\/connector\/edge\/[^/]+$/);
  assert.equal(await answer(one.port, to, app), '403 no-segment');

  await rig.putSegment('echo', all);
  await answers(one.port, to, app, '200');
  assert.equal(await answer(one.port, to, other), '403 client-not-allowed');
  assert.equal(await answer(one.port, '127.0.0.1:80', app), '403 no-segment');
  assert.equal(await answer(one.port, `127.0.0.2:${target.port}`, app), '403 no-segment');

  const flow = await askFlow(one.port, to, app);
  const closed = once(flow.socket.resume(), 'close');
  await rig.putSegment('echo', { ...all, clients: ['spiffe://example.org/other'] });
  await closed;
  await answers(one.port, to, other, '200');
  assert.equal(await answer(one.port, to, app), '403 client-not-allowed');

  // Another one that claims the same is refused, and takes nothing from the first.
  await assertStatus(rig.putSegment('echo-2', all), 'CONNECTOR_SEGMENT_CONFLICT');
  await rig.putSegment('wider', {
    ...all,
    hosts: ['127.0.0.0/8'],
    clients: ['spiffe://example.org/app'],
  });
  await answers(one.port, `127.0.0.2:${target.port}`, app, '502 target-unreachable');
  assert.equal(await answer(one.port, to, app), '403 client-not-allowed');
  for (const name of ['echo', 'wider']) {
    await ask(rig.admin(), ConnectorAdminService.deleteSegment, { name });
  }
  await answers(one.port, to, other, '403 no-segment');
});

test('operators see it: state, version, flows', async (context) => {
  const target = await startTarget(context);
  const one = await start(context);
  await rig.putSegment('echo', all);
  await answers(one.port, `127.0.0.1:${target.port}`, app, '200');
  const { socket } = await askFlow(one.port, `127.0.0.1:${target.port}`, app);
  await soon(async () => (await info(one)).state === 'active');
  await soon(async () => {
    const { versions, wantedSegmentsVersion } = await info(one);
    return versions.some(({ version }) => version === wantedSegmentsVersion);
  });
  socket.destroy();
});

test('renews under an open flow, and the bytes are the same', async (context) => {
  const target = await startTarget(context);
  await rig.putSegment('echo', all);
  const one = await start(context);
  const to = `127.0.0.1:${target.port}`;
  await one.heard('segments');
  await answers(one.port, to, app, '200');
  const { socket } = await askFlow(one.port, to, app);
  const poured = pour(socket);
  const before = (await info(one)).serialNumber;
  const kind = { $case: 'renewNow' as const, value: { reason: 'test' } };
  const command = { nonce: Buffer.alloc(0), kind };
  const request = { which: select(one), command };
  await ask(rig.admin(), ConnectorAdminService.commandConnectors, request);
  await one.heard('renewed');
  await one.heard('session', 2);
  await soon(async () => (await info(one)).serialNumber !== before);
  await poured.stop();
  const again = await askFlow(one.port, to, app);
  const serial = BigInt(`0x${again.socket.getPeerCertificate().serialNumber}`);
  assert.equal(String(serial), (await info(one)).serialNumber);
  for (const open of [socket, again.socket]) open.destroy();
});

test('revoked in mid-flow: the flow is closed, and it does not come back', async (context) => {
  const target = await startTarget(context);
  await rig.putSegment('echo', all);
  const [one, two] = [await start(context), await start(context)];
  const to = `127.0.0.1:${target.port}`;
  for (const { port } of [one, two]) await answers(port, to, app, '200');
  const [flow, stays] = [await askFlow(one.port, to, app), await askFlow(two.port, to, app)];
  const closed = once(flow.socket.resume(), 'close');
  const request = { which: select(one), reason: 'stolen' };
  await ask(rig.admin(), ConnectorAdminService.revokeConnectors, request);
  await closed;
  assert.equal(await one.ended, 'revoked');
  assert.equal((await info(one)).state, 'revoked');
  assert.equal(await echo(stays.socket, 'not this one'), 'not this one');
  stays.socket.destroy();
});

test('drained: its flow ends in peace, then it leaves', async (context) => {
  const target = await startTarget(context);
  await rig.putSegment('echo', all);
  const one = await start(context);
  const to = `127.0.0.1:${target.port}`;
  await answers(one.port, to, app, '200');
  const { socket } = await askFlow(one.port, to, app);
  const request = { which: select(one), withinSeconds: 3600, reason: 'update' };
  await ask(rig.admin(), ConnectorAdminService.drainConnectors, request);
  await answers(one.port, to, app, '503 connector-draining');
  await soon(async () => (await info(one)).state === 'draining');
  assert.equal(await echo(socket, 'still mine'), 'still mine');
  socket.end();
  assert.equal(await one.ended, 'stopped');
  await soon(async () => (await info(one)).state === 'stopped');
});
