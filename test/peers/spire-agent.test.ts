import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dpuYaml } from '../support/dpu-yaml.ts';
import { Fleet } from '../support/fleet.ts';
import { JsonLines, run, soon, stopChild } from '../support/processes.ts';
import { needsShared } from '../support/shared.ts';
import { type StockAgent, spirePrograms, startStockAgent } from './stock-agent.ts';
import { type PeerEvent, workloadClients } from './workload-clients.ts';

describe('a stock SPIRE agent against this server', needsShared('rig/spire/spire.sh'), () => {
  let dir: string;
  let fleet: Fleet;
  let agent: StockAgent;

  before(async () => {
    const programs = await spirePrograms();
    dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    // A server that attests DPUs too: stock agents are to notice nothing.
    fleet = await Fleet.start({ serverOnly: true, x509SvidTtl: '40s', serverYaml: dpuYaml(dir) });
    agent = await startStockAgent(fleet, programs);
  });
  after(async () => {
    if (agent !== undefined) await stopChild(agent.child);
    await fleet?.stop();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  test('attests by join token and is listed, at a server that attests DPUs too', async () => {
    const id = await fleet.agentId();
    assert.match(id, /^spiffe:\/\/example\.org\/spire\/agent\/join_token\//);
    const shown = (await fleet.json('agent', 'show', '--spiffe-id', id)) as {
      assurance: { method: string; binding: string };
    };
    assert.deepEqual([shown.assurance.method, shown.assurance.binding], ['join_token', 'bearer']);
    assert.ok(!fleet.log('server').includes('DPU_'), 'nothing of it was asked for a DPU');
  });

  test('serves X.509- and JWT-SVIDs of an entry that is created later, and rotates them', async () => {
    const go = workloadClients[0];
    assert.ok(go);
    assert.deepEqual(await go.prepare(), { missing: undefined });
    await fleet.register('/web');
    const stream = new JsonLines<PeerEvent>(...go.command(['watch', agent.socket]));
    try {
      const first = await stream.next((e) => e.event === 'x509');
      assert.deepEqual(
        first.svids?.map(({ id, verified }) => ({ id, verified })),
        [{ id: 'spiffe://example.org/web', verified: true }],
      );
      const [command, args] = go.command(['jwt', agent.socket, 'orders']);
      const jwt = JSON.parse((await run(command, args)).stdout) as PeerEvent;
      assert.deepEqual(
        jwt.svids?.map(({ id, verified }) => ({ id, verified })),
        [{ id: 'spiffe://example.org/web', verified: true }],
      );
      const serial = first.svids?.[0]?.serial;
      await stream.next((e) => e.event === 'x509' && e.svids?.[0]?.serial !== serial);
    } finally {
      await stream.stop();
    }
  });

  test('shuts down when it is banned', async () => {
    await fleet.json('agent', 'ban', '--spiffe-id', await fleet.agentId());
    const { child } = agent;
    if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
    assert.match(agent.log(), /banned/i);
  });
});

describe('a forced rotation by stock programs', needsShared('rig/spire/spire.sh'), () => {
  let fleet: Fleet;
  let agent: StockAgent;
  let programs: string;

  before(async () => {
    programs = await spirePrograms();
    fleet = await Fleet.start({ serverOnly: true });
    agent = await startStockAgent(fleet, programs);
  });
  after(async () => {
    if (agent !== undefined) await stopChild(agent.child);
    await fleet?.stop();
  });

  /** `spire-server localauthority x509 …` against our admin socket. */
  async function spireServer(verb: string, ...flags: string[]): Promise<Rotation> {
    const socket = ['-socketPath', fleet.adminSocket, '-output', 'json'];
    const argv = ['localauthority', 'x509', verb, ...socket, ...flags];
    const { code, stdout, stderr } = await run(join(programs, 'spire-server'), argv);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Rotation;
  }

  test('renews what the tainted authority signed, at the next poll', async () => {
    const go = workloadClients[0];
    assert.ok(go);
    assert.deepEqual(await go.prepare(), { missing: undefined });
    await fleet.register('/web');
    const stream = new JsonLines<PeerEvent>(...go.command(['watch', agent.socket]));
    try {
      const first = await stream.next((e) => e.event === 'x509');
      const serial = first.svids?.[0]?.serial;
      const old = (await spireServer('show')).active?.authority_id ?? '';
      const next = (await spireServer('prepare')).prepared_authority?.authority_id ?? '';
      assert.equal((await spireServer('show')).prepared?.authority_id, next);
      // Waits for the agent, which has the bundle after its next poll.
      await spireServer('activate', '-authorityID', next);
      await spireServer('taint', '-authorityID', old);
      const renewed = await stream.next(
        (e) => e.event === 'x509' && e.svids?.[0]?.serial !== serial,
      );
      assert.equal(renewed.svids?.[0]?.verified, true);
      await soon(async () => /tainted by a root authority, forcing rotation/.test(agent.log()));
      await spireServer('revoke', '-authorityID', old);
      await stream.next((e) => e.event === 'x509' && e.bundles?.['spiffe://example.org'] === 1);
      // It goes on with a new SVID of its own, over new connections too.
      await fleet.register('/late');
      const late = await stream.next((e) => e.event === 'x509' && e.svids?.length === 2);
      assert.ok(late.svids?.every(({ verified }) => verified));
    } finally {
      await stream.stop();
    }
  });
});

interface Authority {
  readonly authority_id: string;
}

/** What `spire-server localauthority` prints of authorities. */
interface Rotation {
  readonly active?: Authority;
  readonly prepared?: Authority;
  readonly prepared_authority?: Authority;
}
