import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { type RunningAgent, startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { SpiffeWorkloadAPIClient } from '../../src/gen/workload.ts';
import { openUnixChannel, type RpcChannel } from '../../src/rpc/channel.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { freePort, run, stopChild, waitForSocket } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { needsShared, sharedDir } from '../support/shared.ts';
import { answerOf, Reading, securityHeader } from '../support/workload-api.ts';
import { stockServerConfig } from './stock-server.ts';

function serverConfig(dir: string, port: number): string {
  return stockServerConfig({
    dir: `${dir}/server`,
    port,
    socket: `${dir}/server.sock`,
    trustDomain: 'example.org',
    server: 'default_x509_svid_ttl = "1h"\n  ca_key_type = "ec-p256"',
    plugins: 'NodeAttestor "join_token" { plugin_data {} }',
  });
}

describe('this agent against a stock SPIRE server', needsShared('rig/spire/spire.sh'), () => {
  const log = createLogger({ level: 'silent' });
  let dir: string;
  let bin: string;
  let port: number;
  let server: ChildProcess;
  let token: string;
  let agent: RunningAgent;
  let channel: RpcChannel;

  const spire = async (...args: string[]): Promise<string> => {
    const done = await run(join(bin, 'spire-server'), [
      ...args,
      '-socketPath',
      `${dir}/server.sock`,
    ]);
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  const start = async (join_: object): Promise<RunningAgent> => {
    const config = agentConfigSchema.parse({
      trustDomain: 'example.org',
      dataDir: `${dir}/agent`,
      server: { address: '127.0.0.1', port },
      bootstrap: { bundlePath: `${dir}/bundle.pem` },
      join: join_,
      workloadSocket: { path: `${dir}/w/api.sock` },
      startupGrace: '1m',
    });
    return assertValue(await startAgent(config, { log }));
  };
  const api = (): SpiffeWorkloadAPIClient => channel.client(SpiffeWorkloadAPIClient);
  const createEntry = async (path: string): Promise<string> => {
    const out = await spire(
      ...['entry', 'create', '-parentID', `spiffe://example.org/spire/agent/join_token/${token}`],
      ...[
        '-spiffeID',
        `spiffe://example.org${path}`,
        '-selector',
        `unix:uid:${process.geteuid?.()}`,
      ],
    );
    return /Entry ID\s*: (\S+)/.exec(out)?.[1] ?? '';
  };

  before(async () => {
    const built = await run(join(sharedDir, 'rig/spire/spire.sh'), ['build']);
    assert.equal(built.code, 0, built.stderr);
    bin = built.stdout.trim();
    dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    port = await freePort();
    mkdirSync(join(dir, 'server'));
    writeFileSync(join(dir, 'server.conf'), serverConfig(dir, port));
    const out = openSync(join(dir, 'server.log'), 'a');
    server = spawn(join(bin, 'spire-server'), ['run', '-config', join(dir, 'server.conf')], {
      stdio: ['ignore', out, out],
    });
    await waitForSocket(join(dir, 'server.sock'), server);
    writeFileSync(join(dir, 'bundle.pem'), await spire('bundle', 'show'));
    token = /^Token: (\S+)$/m.exec(await spire('token', 'generate'))?.[1] ?? '';
    agent = await start({ token });
    channel = openUnixChannel(agent.workloadSocket);
  });
  after(async () => {
    channel?.close();
    await agent?.stop('test is over');
    if (server !== undefined) await stopChild(server);
    rmSync(dir, { recursive: true, force: true });
  });

  test('it attests, polls, and serves what is registered there', async () => {
    const early = new Reading(api().fetchX509Svid({}, securityHeader()));
    assert.equal((await early.ended()).code, status.PERMISSION_DENIED);
    const first = await createEntry('/one');
    // An entry is seen at the next poll, within 5 s; clients come back after a denial.
    let reading = new Reading(api().fetchX509Svid({}, securityHeader()));
    while (reading.messages.length === 0) {
      await reading.message(1).catch(() => {
        reading = new Reading(api().fetchX509Svid({}, securityHeader()));
      });
    }
    assert.equal(reading.messages[0]?.svids[0]?.spiffeId, 'spiffe://example.org/one');
    await createEntry('/two');
    assert.equal((await reading.message(2)).svids.length, 2);
    await spire('entry', 'delete', '-entryID', first);
    assert.deepEqual(
      (await reading.message(3)).svids.map(({ spiffeId }) => spiffeId),
      ['spiffe://example.org/two'],
    );
    reading.cancel();
  });

  test('it fetches JWT-SVIDs that it can validate', async () => {
    const tokens = await answerOf<{ svids: { svid: string }[] }>((done) =>
      api().fetchJwtsvid({ audience: ['me'], spiffeId: '' }, securityHeader(), done),
    );
    const svid = tokens.value?.svids[0]?.svid ?? '';
    const valid = await answerOf<{ spiffeId: string }>((done) =>
      api().validateJwtsvid({ audience: 'me', svid }, securityHeader(), done),
    );
    assert.equal(valid.value?.spiffeId, 'spiffe://example.org/two', valid.details);
  });

  test('it resumes with its stored SVID, and ends when it is banned there', async () => {
    await agent.stop('restart');
    channel.close();
    agent = await start({});
    channel = openUnixChannel(agent.workloadSocket);
    const reading = new Reading(api().fetchX509Svid({}, securityHeader()));
    assert.equal((await reading.message(1)).svids[0]?.spiffeId, 'spiffe://example.org/two');
    const id = `spiffe://example.org/spire/agent/join_token/${token}`;
    await spire('agent', 'ban', '-spiffeID', id);
    assert.equal((await agent.ended).code, 'AGENT_BANNED');
  });
});
