import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/workload-client.ts';
import { bundlesOf, type X509Context } from '../../src/client/x509-context.ts';
import { X509Source } from '../../src/client/x509-source.ts';
import { validateX509Svid } from '../../src/spiffe/x509-svid.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, run, stopChild, waitForSocket } from '../support/processes.ts';
import { needsShared } from '../support/shared.ts';
import { type StockAgent, spirePrograms, startStockAgent } from './stock-agent.ts';
import { stockServerConfig } from './stock-server.ts';

const OTHER = 'other.test';
const UID = `unix:uid:${process.getuid?.() ?? 0}`;

async function done(command: string, ...args: string[]): Promise<string> {
  const finished = await run(command, args);
  const said = finished.stdout + finished.stderr;
  assert.equal(finished.code, 0, `${command} ${args.join(' ')}: ${said}`);
  return finished.stdout;
}

const knows =
  (trustDomain: string) =>
  (context: X509Context): boolean =>
    context.bundles.has(trustDomain);

/** The first context of an agent's workloads that is as wanted. */
async function contextOf(
  socket: string,
  isWanted: (context: X509Context) => boolean,
): Promise<X509Context> {
  const client = new WorkloadClient(unwrap(parseWorkloadAddress(`unix://${socket}`)));
  const source = new X509Source(client);
  const { promise, resolve } = Promise.withResolvers<X509Context>();
  const look = (context: X509Context): void => {
    if (isWanted(context)) resolve(context);
  };
  source.subscribe(look);
  try {
    return await promise;
  } finally {
    source.close();
    client.close();
  }
}

/** Whom a workload takes another one for, by its own bundles. */
function verified(by: X509Context, of: X509Context): string {
  const { chain } = of.svids[0];
  const valid = validateX509Svid({ chain, bundles: bundlesOf(by), atMs: Date.now() });
  return valid.ok ? valid.value.id.uri : valid.error.message;
}

describe('federation with a stock SPIRE server', needsShared('rig/spire/spire.sh'), () => {
  let dir: string;
  let bin: string;
  let fleet: Fleet;
  let ports: { readonly ours: number; readonly theirs: number };
  let below: StockAgent;
  const children: ChildProcess[] = [];
  const at = (name: string): string => join(dir, name);
  /** Their server, by their commands. */
  const theirs = (...args: string[]): Promise<string> =>
    done(join(bin, 'spire-server'), ...args, '-socketPath', at('server.sock'));
  /** Our server, by their commands. */
  const ours = (...args: string[]): Promise<string> =>
    done(join(bin, 'spire-server'), ...args, '-socketPath', fleet.adminSocket);

  before(async () => {
    bin = await spirePrograms();
    dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    ports = { ours: await freePort(), theirs: await freePort() };
    const endpoint = `{ address: 127.0.0.1, port: ${ports.ours} }`;
    fleet = await Fleet.start({
      serverYaml: `federation: { bundleEndpoint: ${endpoint}, fetch: { minInterval: 1s } }\n`,
    });
    await startTheirs();
    below = await startStockAgent(fleet, bin);
    children.push(below.child);
  });
  after(async () => {
    for (const child of children.reverse()) await stopChild(child);
    await fleet?.stop();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  function start(program: string, config: string, ...args: string[]): ChildProcess {
    writeFileSync(at(`${program}.conf`), config);
    const log = openSync(at(`${program}.log`), 'a');
    const command = ['run', '-config', at(`${program}.conf`), ...args];
    const stdio = ['ignore', log, log] as const;
    const child = spawn(join(bin, program), command, { stdio: [...stdio] });
    children.push(child);
    return child;
  }

  async function startTheirs(): Promise<void> {
    const port = await freePort();
    mkdirSync(at('data'));
    const federation = `federation { bundle_endpoint {
      address = "127.0.0.1" port = ${ports.theirs} profile "https_spiffe" {}
    } }`;
    const plugins = 'NodeAttestor "join_token" { plugin_data {} }';
    const of = { dir: at('data'), port, socket: at('server.sock'), trustDomain: OTHER };
    const config = stockServerConfig({ ...of, server: federation, plugins });
    await waitForSocket(at('server.sock'), start('spire-server', config));
    const bundle = await theirs('bundle', 'show');
    writeFileSync(at('theirs.pem'), bundle);
    writeFileSync(at('theirs.jwks'), await theirs('bundle', 'show', '-format', 'spiffe'));
    const agentId = `spiffe://${OTHER}/agent`;
    const made = await theirs('token', 'generate', '-spiffeID', agentId, '-output', 'json');
    const agent = `agent {
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${at('agent.sock')}"
  trust_bundle_path = "${at('theirs.pem')}"
  trust_domain = "${OTHER}"
  data_dir = "${at('data')}"
}
plugins {
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
    const token = String(JSON.parse(made).value);
    await waitForSocket(at('agent.sock'), start('spire-agent', agent, '-joinToken', token));
  }

  test('the commands of stock SPIRE manage our relationships and bundles', async () => {
    const url = `https://127.0.0.1:${ports.theirs}`;
    const state = ['-trustDomain', OTHER, '-bundleEndpointURL', url];
    const spiffe = ['-bundleEndpointProfile', 'https_spiffe', '-endpointSpiffeID'];
    const id = [...spiffe, `spiffe://${OTHER}/spire/server`];
    const bundle = ['-trustDomainBundlePath', at('theirs.pem')];
    assert.match(await ours('federation', 'create', ...state, ...id, ...bundle), /https_spiffe/);
    assert.match(await ours('federation', 'list'), /Found 1 federation relationship/);
    assert.match(await ours('federation', 'show', '-trustDomain', OTHER), new RegExp(url));
    const web = [...state, '-bundleEndpointProfile', 'https_web'];
    assert.match(await ours('federation', 'update', ...web), /https_web/);
    const again = await run(join(bin, 'spire-server'), [
      ...['federation', 'create', ...web, '-socketPath', fleet.adminSocket],
    ]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /AlreadyExists/);
    assert.match(await ours('federation', 'delete', '-id', OTHER), /deleted/);
    assert.match(await ours('bundle', 'list', '-id', OTHER), /BEGIN CERTIFICATE/);
    assert.match(await ours('bundle', 'delete', '-id', OTHER), /bundle deleted/);
    const set = ['-id', OTHER, '-path', at('theirs.jwks'), '-format', 'spiffe'];
    assert.match(await ours('bundle', 'set', ...set), /bundle set/);
    assert.match(await ours('bundle', 'count'), /2 bundles/);
    await ours('federation', 'create', ...state, ...id);
    assert.match(await ours('federation', 'refresh', '-id', OTHER), /refreshed/);
    assert.match((await fleet.cli('federation', 'list')).stdout, /Bundle +: sequence [1-9]/);
  });

  test('a stock server fetches our bundle from our endpoint', async () => {
    const bundle = await fleet.cli('bundle', 'show');
    writeFileSync(at('ours.pem'), bundle.stdout);
    const profile = ['-bundleEndpointProfile', 'https_spiffe'];
    const endpoint = ['-bundleEndpointURL', `https://127.0.0.1:${ports.ours}`];
    const id = ['-endpointSpiffeID', `spiffe://${fleet.trustDomain}/spire/server`];
    const path = ['-trustDomainBundlePath', at('ours.pem')];
    const domain = ['-trustDomain', fleet.trustDomain];
    await theirs('federation', 'create', ...domain, ...profile, ...endpoint, ...id, ...path);
    assert.match(await theirs('federation', 'refresh', '-id', fleet.trustDomain), /refreshed/);
    const held = ['bundle', 'list', '-id', fleet.trustDomain, '-format', 'spiffe'];
    const kept = JSON.parse(await theirs(...held)) as { keys: { use: string; kid?: string }[] };
    const own = await fleet.cli('bundle', 'show', '--format', 'spiffe');
    const served = JSON.parse(own.stdout) as { keys: { use: string; kid?: string }[] };
    const ids = (set: typeof kept) => set.keys.map(({ use, kid }) => `${use} ${kid}`).sort();
    assert.deepEqual(ids(kept), ids(served), 'JWT keys too, which the PEM did not have');
  });

  test("workloads of each verify the other's SVIDs: ours, theirs, and a stock agent below ours", async () => {
    await fleet.register('/web', '--federates-with', OTHER);
    const { stdout } = await fleet.cli('agent', 'list', '-o', 'json');
    const agents = JSON.parse(stdout).agents as { id: { trustDomain: string; path: string } }[];
    const parents = agents.map(({ id }) => `spiffe://${id.trustDomain}${id.path}`);
    const own = await fleet.agentId();
    const stock = parents.find((parent) => parent !== own);
    assert.ok(stock !== undefined);
    const selector = ['--selector', UID, '--federates-with', OTHER];
    const id = ['--spiffe-id', `spiffe://${fleet.trustDomain}/stock`, '--parent-id', stock];
    await fleet.json('entry', 'create', ...id, ...selector);
    const parent = ['-parentID', `spiffe://${OTHER}/agent`, '-spiffeID', `spiffe://${OTHER}/db`];
    const entry = [...parent, '-selector', UID, '-federatesWith', fleet.trustDomain];
    await theirs('entry', 'create', ...entry);
    const [web, behind, db] = [
      await contextOf(fleet.workloadSocket, knows(OTHER)),
      await contextOf(below.socket, knows(OTHER)),
      await contextOf(at('agent.sock'), knows(fleet.trustDomain)),
    ];
    for (const side of [web, behind]) {
      assert.equal(verified(side, db), `spiffe://${OTHER}/db`);
    }
    assert.equal(verified(db, web), `spiffe://${fleet.trustDomain}/web`);
    assert.equal(verified(db, behind), `spiffe://${fleet.trustDomain}/stock`);
  });

  test("agents of each validate the other's tokens", async () => {
    const mint = ['jwt', 'mint', '-audience', 'orders', '-spiffeID'];
    const foreign = (await theirs(...mint, `spiffe://${OTHER}/db`)).trim();
    const checked = await fleet.cli('api', 'validate', '--audience', 'orders', '--svid', foreign);
    assert.equal(checked.code, 0, checked.stderr);
    const minted = await fleet.cli(
      ...['jwt', 'mint', '--audience', 'orders'],
      ...['--spiffe-id', `spiffe://${fleet.trustDomain}/web`],
    );
    const agent = join(bin, 'spire-agent');
    const token = ['-audience', 'orders', '-svid', minted.stdout.trim()];
    await done(agent, 'api', 'validate', 'jwt', ...token, '-socketPath', at('agent.sock'));
    const stock = ['-audience', 'orders', '-svid', foreign, '-socketPath', below.socket];
    await done(agent, 'api', 'validate', 'jwt', ...stock);
  });

  test('what is deleted is gone for workloads at once, and a killed server still knows the rest', async () => {
    await fleet.json('federation', 'delete', '--id', OTHER);
    await fleet.stopServer('SIGKILL');
    await fleet.startServer();
    assert.match(await ours('bundle', 'list', '-id', OTHER), /BEGIN CERTIFICATE/);
    assert.match((await fleet.cli('federation', 'list')).stdout, /Found 0 /);
    await fleet.json('bundle', 'delete', '--id', OTHER, '--mode', 'dissociate');
    await contextOf(fleet.workloadSocket, (context) => !context.bundles.has(OTHER));
  });
});
