import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { local } from '../support/companion.ts';
import { plainSettings } from '../support/companion-rig.ts';
import { runCompanion } from '../support/companion-server.ts';
import { askFlow, echo, startTarget } from '../support/connector-peer.ts';
import { ConnectorRig, startConnector } from '../support/connector-rig.ts';
import { freePort, soon } from '../support/processes.ts';
import { ask } from '../support/server.ts';
import { testFolder } from '../support/workload-api.ts';

// One server ends for good; another goes on with what it had stored, at another address.

const { getConnector, listConnectors, listProvisioningKeys, revokeConnectors } =
  ConnectorAdminService;

test('connectors move to another server with the same store: no enrolment, nothing sent twice, flows live on', async (context) => {
  const [first, second] = [await freePort(), await freePort()];
  const endpoints = [first, second].map((port) => `"127.0.0.1:${port}"`).join(', ');
  const rig = await ConnectorRig.start({ port: first }, `sessionEndpoints: [${endpoints}]`);
  context.after(() => rig.stop());
  const folder = testFolder(context);
  await rig.putGroup();
  await rig.putSegment('echo', { ports: [{ first: 1024, last: 65_535 }] });
  const key = await rig.createKey();
  const app = await rig.mint('/app');
  const target = await startTarget(context);
  const to = `127.0.0.1:${target.port}`;

  const one = await startConnector(context, rig, { proof: { kind: 'provisioning-key', key } });
  await one.heard('segments');
  writeFileSync(join(folder, 'bundle.pem'), rig.root.pem);
  writeFileSync(join(folder, 'key'), key);
  const settings = plainSettings(folder, first);
  const companion = await runCompanion(context, { folder, settings });
  await soon(async () => companion.health.report('ready').ok);
  const list = async () => {
    const all = { group: 'edge', states: [], pageSize: 0, pageToken: '' };
    const { connectors } = await ask(rig.admin(), listConnectors, all);
    return connectors.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  };
  const active = (count: number) =>
    soon(async () => (await list()).filter(({ state }) => state === 'active').length === count);
  await active(2);
  const before = await list();
  const { socket } = await askFlow(one.port, to, app);

  // Nothing of its memory is left, only what was on its disk: brought to where another one starts.
  await rig.fleet.stopServer('SIGKILL');
  await one.heard('session-ended');
  const moved = join(rig.fleet.dir, 'moved');
  cpSync(join(rig.fleet.dir, 'server/data'), moved, { recursive: true });
  await rig.fleet.startServer('--data-dir', moved, '--server-port', `${second}`);
  await active(2);
  const after = await list();
  const facts = (infos: typeof after) =>
    infos.map(({ id, serialNumber, enrolledAt }) => ({ id, serialNumber, enrolledAt }));
  assert.deepEqual(facts(after), facts(before));
  assert.equal(one.said.filter(({ event }) => event === 'enrolled').length, 1);
  assert.equal(one.said.filter(({ event }) => event === 'segments').length, 1);
  const request = { group: 'edge', pageSize: 0, pageToken: '' };
  const { keys } = await ask(rig.admin(), listProvisioningKeys, request);
  assert.deepEqual(
    keys.map(({ uses }) => uses),
    [2],
  );
  assert.equal(await echo(socket, 'another server'), 'another server');

  // It is their server now: changes and revocations of it count.
  await rig.putSegment('echo', { ports: [{ first: 1, last: 1 }] });
  await one.heard('segments', 2);
  const version = async () => {
    const name = after[0]?.id ?? '';
    return (await ask(rig.admin(), getConnector, { name })).wantedSegmentsVersion;
  };
  await soon(
    async () => (await local(folder, '/status')).body.segmentsVersion === (await version()),
  );
  const which = { ids: [], group: 'edge' };
  await ask(rig.admin(), revokeConnectors, { which, reason: 'moved' });
  assert.equal(await one.ended, 'revoked');
  assert.equal((await companion.ended).code, 'COMPANION_REVOKED');
});

test('forty connectors: a server that is killed and comes back has them all, none of them enrolled anew', async (context) => {
  const rig = await ConnectorRig.start();
  context.after(() => rig.stop());
  await rig.putGroup();
  const key = await rig.createKey({ maxUses: 40 });
  const proof = { kind: 'provisioning-key', key } as const;
  const all = await Promise.all(
    Array.from({ length: 40 }, () => startConnector(context, rig, { proof })),
  );
  await Promise.all(all.map((one) => one.heard('session')));
  await rig.fleet.stopServer('SIGKILL');
  await Promise.all(all.map((one) => one.heard('session-ended')));
  await rig.fleet.startServer();
  await Promise.all(all.map((one) => one.heard('session', 2)));
  const request = { group: 'edge', states: ['active'], pageSize: 0, pageToken: '' };
  await soon(async () => {
    const { connectors } = await ask(rig.admin(), listConnectors, request);
    return connectors.length === all.length;
  });
  for (const { said } of all) {
    assert.equal(said.filter(({ event }) => event === 'enrolled').length, 1);
  }
  // They are followed again as before.
  await rig.putSegment('new');
  await Promise.all(all.map((one) => one.heard('segments', 2)));
});
