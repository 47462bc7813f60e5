import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Refused } from '../../examples/connector/wire.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { askFlow, echo, startTarget } from '../support/connector-peer.ts';
import { ConnectorRig, startConnector } from '../support/connector-rig.ts';
import { lives } from '../support/dev.ts';
import { ask, refusal } from '../support/server.ts';
import { asRoot, fill, mountSmall } from '../support/small-disk.ts';
import { testFolder } from '../support/workload-api.ts';

const { listConnectors, listProvisioningKeys } = ConnectorAdminService;

/** A server of which this folder of its data directory is a file system of its own, of a few KiB. */
async function smallServer(context: TestContext, folder: string, size: string) {
  const rig = await ConnectorRig.start();
  await rig.fleet.stopServer();
  const whole = join(rig.fleet.dir, 'server/data');
  const data = join(rig.fleet.dir, 'small');
  const small = join(data, folder);
  mountSmall(context, small, size);
  context.after(() => rig.stop());
  cpSync(whole, data, { recursive: true });
  const startServer = () => rig.fleet.startServer('--data-dir', data);
  await startServer();
  await rig.putGroup();
  const key = await rig.createKey({ maxUses: 1000 });
  const proof = { kind: 'provisioning-key', key } as const;
  /** Uses of the key, and the connectors that there are. */
  const facts = async () => {
    const all = { group: 'edge', pageSize: 0, pageToken: '' };
    const { keys } = await ask(rig.admin(), listProvisioningKeys, all);
    const { connectors } = await ask(rig.admin(), listConnectors, { ...all, states: [] });
    return { uses: keys[0]?.uses, ids: connectors.map(({ spiffeId }) => spiffeId).toSorted() };
  };
  /** Enrols with this state, or says why not. */
  const enrol = async (state: string): Promise<string> => {
    try {
      return (await startConnector(context, rig, { proof, state })).connector.spiffeId;
    } catch (error) {
      assert.ok(error instanceof Refused, String(error));
      return error.code;
    }
  };
  /** Enrols until it has been refused so often; answers with folders of state and what came. */
  const enrolUntilRefused = async (
    times: number,
  ): Promise<readonly (readonly [string, string])[]> => {
    const tried: (readonly [string, string])[] = [];
    while (tried.filter(([, said]) => !said.includes('/')).length < times) {
      assert.ok(tried.length < 200, 'it fills up');
      const state = testFolder(context);
      tried.push([state, await enrol(state)]);
    }
    return tried;
  };
  return { rig, small, startServer, proof, facts, enrol, enrolUntilRefused };
}

test(
  'a full disk: enrolments are refused with a typed error, what is enrolled goes on, and no use is lost or doubled',
  asRoot,
  async (context) => {
    const small = await smallServer(context, '.', '8m');
    const { rig, proof, facts, enrol } = small;
    await rig.putSegment('echo', { ports: [{ first: 1024, last: 65_535 }] });
    const app = await rig.mint('/app');
    const target = await startTarget(context);
    const one = await startConnector(context, rig, { proof });
    await one.heard('segments');
    const { socket } = await askFlow(one.port, `127.0.0.1:${target.port}`, app);

    const free = fill(small.small);
    const pid = rig.fleet.serverPid;
    // A few may find room in the last blocks.
    const tried = await small.enrolUntilRefused(3);
    const codes = new Set(tried.flatMap(([, said]) => (said.includes('/') ? [] : [said])));
    assert.deepEqual([...codes], ['STORE_FULL']);
    const putting = await refusal(rig.putSegment('more', { hosts: ['127.0.0.7'] }));
    assert.equal(putting.code, 8, putting.message);
    assert.equal(await echo(socket, 'no disk needed'), 'no disk needed');
    assert.equal(one.said.filter(({ event }) => event === 'session-ended').length, 0);
    assert.ok(lives(pid));

    free();
    const ids = new Set([one.connector.spiffeId]);
    for (const [state] of tried) ids.add(await enrol(state));
    assert.equal(ids.size, tried.length + 1);
    const wanted = { uses: ids.size, ids: [...ids].toSorted() };
    assert.deepEqual(await facts(), wanted);
    await rig.putSegment('more', { hosts: ['127.0.0.7'] });
    await one.heard('segments', 2);

    // All of it is on the disk.
    await rig.fleet.stopServer('SIGKILL');
    await small.startServer();
    assert.deepEqual(await facts(), wanted);
    await one.heard('session', 2);
    assert.equal(await echo(socket, 'still there'), 'still there');
    socket.destroy();
  },
);

test(
  'a full disk under the ledger: nothing is signed, and the use that was taken is the one of the next try',
  asRoot,
  async (context) => {
    const small = await smallServer(context, 'ledger', '1m');
    const free = fill(small.small);
    const tried = await small.enrolUntilRefused(3);
    const refused = tried.filter(([, said]) => !said.includes('/'));
    for (const [, said] of refused) assert.equal(said, 'LEDGER_FULL');
    const pending = await small.facts();
    assert.equal(pending.uses, tried.length);
    // As often as they like, without room or with it.
    for (const [state] of refused) assert.equal(await small.enrol(state), 'LEDGER_FULL');
    free();
    const ids: string[] = [];
    for (const [state] of tried) ids.push(await small.enrol(state));
    assert.deepEqual(ids.toSorted(), pending.ids);
    assert.deepEqual(await small.facts(), pending);
  },
);
