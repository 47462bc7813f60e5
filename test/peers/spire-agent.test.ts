import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { JsonLines, run, stopChild, waitForSocket } from '../support/processes.ts';
import { needsShared, sharedDir } from '../support/shared.ts';
import { type PeerEvent, workloadClients } from './workload-clients.ts';

/** Configuration of a stock SPIRE agent that joins the fleet's server. */
function agentConfig(fleet: Fleet, socket: string): string {
  return `agent {
  server_address = "127.0.0.1"
  server_port = "${fleet.port}"
  socket_path = "${socket}"
  trust_bundle_path = "${fleet.bundlePath}"
  trust_domain = "${fleet.trustDomain}"
  data_dir = "${fleet.dir}/spire-agent"
  log_level = "DEBUG"
}
plugins {
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
}

describe('a stock SPIRE agent against this server', needsShared('rig/spire/spire.sh'), () => {
  let fleet: Fleet;
  let bin: string;
  let agent: ReturnType<typeof spawn>;
  let socket: string;

  before(async () => {
    const built = await run(join(sharedDir, 'rig/spire/spire.sh'), ['build']);
    assert.equal(built.code, 0, built.stderr);
    bin = built.stdout.trim();
    fleet = await Fleet.start({ serverOnly: true, x509SvidTtl: '40s' });
    writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
    socket = join(fleet.dir, 'spire.sock');
    mkdirSync(join(fleet.dir, 'spire-agent'));
    const config = join(fleet.dir, 'spire-agent.conf');
    writeFileSync(config, agentConfig(fleet, socket));
    const { value } = (await fleet.json('token', 'generate')) as { value: string };
    const log = openSync(join(fleet.dir, 'spire-agent.log'), 'a');
    agent = spawn(join(bin, 'spire-agent'), ['run', '-config', config, '-joinToken', value], {
      stdio: ['ignore', log, log],
    });
    await waitForSocket(socket, agent);
  });
  after(async () => {
    if (agent !== undefined) await stopChild(agent);
    await fleet?.stop();
  });

  test('attests by join token and is listed', async () => {
    assert.match(await fleet.agentId(), /^spiffe:\/\/example\.org\/spire\/agent\/join_token\//);
  });

  test('serves X.509- and JWT-SVIDs of an entry that is created later, and rotates them', async () => {
    const go = workloadClients[0];
    assert.ok(go);
    assert.deepEqual(await go.prepare(), { missing: undefined });
    await fleet.register('/web');
    const stream = new JsonLines<PeerEvent>(...go.command(['watch', socket]));
    try {
      const first = await stream.next((e) => e.event === 'x509');
      assert.deepEqual(
        first.svids?.map(({ id, verified }) => ({ id, verified })),
        [{ id: 'spiffe://example.org/web', verified: true }],
      );
      const [command, args] = go.command(['jwt', socket, 'orders']);
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
    if (agent.exitCode === null) await new Promise((resolve) => agent.once('exit', resolve));
    assert.match(readFileSync(join(fleet.dir, 'spire-agent.log'), 'utf8'), /banned/i);
  });
});
