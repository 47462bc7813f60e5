import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/workload-client.ts';
import { X509Source } from '../../src/client/x509-source.ts';
import { encodePem } from '../../src/der/pem.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, run, stopChild, waitForSocket } from '../support/processes.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { needsShared, sharedDir } from '../support/shared.ts';
import { makeCsr, makeKey } from '../support/x509.ts';
import { stockServerConfig } from './stock-server.ts';

const rig = join(sharedDir, 'rig/spire/spire.sh');
const uid = process.getuid?.() ?? 0;
const TD = `spiffe://${TRUST_DOMAIN}`;

async function done(command: string, ...args: string[]): Promise<string> {
  const finished = await run(command, args);
  assert.equal(finished.code, 0, `${command} ${args.join(' ')}: ${finished.stderr}`);
  return finished.stdout;
}

/** Verifies a chain of PEM or DER certificates, leaf first, up to the roots of a file. */
async function verifyWithOpenSsl(dir: string, chain: readonly string[], roots: string) {
  const [leaf, ...above] = chain;
  assert.ok(leaf !== undefined && above.length > 0, 'a leaf below an intermediate');
  writeFileSync(join(dir, 'leaf.pem'), leaf);
  writeFileSync(join(dir, 'above.pem'), above.join(''));
  const files = ['-CAfile', roots, '-untrusted', join(dir, 'above.pem'), join(dir, 'leaf.pem')];
  await done('openssl', 'verify', '-x509_strict', ...files);
}

/** The key id in the header of a token. */
function keyIdOf(token: string): string {
  const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
  return String(header.kid);
}

describe('this server below a stock SPIRE server', needsShared('rig/spire/spire.sh'), () => {
  let dir: string;
  let bin: string;
  let server: TestServer;
  const spire = (...args: string[]): Promise<string> =>
    done(join(bin, 'spire-server'), ...args, '-socketPath', join(dir, 'server.sock'));

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-above-'));
    bin = (await done(rig, 'build')).trim();
    const port = await freePort();
    const up = await done('sh', '-c', `"${rig}" up "${dir}" ${port} </dev/null`);
    const agentId = /agent id +(\S+)/.exec(up)?.[1] ?? '';
    const entry = ['-parentID', agentId, '-spiffeID', `${TD}/below`, '-downstream'];
    await spire('entry', 'create', ...entry, '-selector', `unix:uid:${uid}`);
    const workloadApi = `unix://${join(dir, 'agent.sock')}`;
    // The agent there hears of the entry within five seconds.
    const client = new WorkloadClient(unwrap(parseWorkloadAddress(workloadApi)));
    const source = new X509Source(client);
    await source.ready();
    source.close();
    client.close();
    server = await TestServer.start({
      upstream: { spire: { address: '127.0.0.1', port, workloadApi } },
    });
  });
  after(async () => {
    await server?.stop();
    await run(rig, ['down', dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  test('issues leaves that OpenSSL verifies to the root of SPIRE', async () => {
    const csr = Buffer.from(makeCsr({ key: makeKey(), uris: [`${TD}/web`] }));
    const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
    const chain = (svid?.certChain ?? []).map((der) => encodePem('CERTIFICATE', der));
    await verifyWithOpenSsl(dir, chain, join(dir, 'bundle.pem'));
    assert.equal(await server.bundlePem(), readFileSync(join(dir, 'bundle.pem'), 'utf8'));
  });

  test('has its JWT keys in the bundle of SPIRE, and those of SPIRE in its own', async () => {
    const id = { trustDomain: TRUST_DOMAIN, path: '/web' };
    const request = { id, audience: ['orders'], ttl: 0 };
    const { svid } = await ask(server.admin(), SVIDService.mintJwtsvid, request);
    const above = await spire('bundle', 'show', '-format', 'spiffe');
    assert.ok(above.includes(keyIdOf(svid?.token ?? '')), 'our key is known above');
    const minted = await spire('jwt', 'mint', '-spiffeID', `${TD}/web`, '-audience', 'orders');
    const own = async () => {
      const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
      return bundle.jwtAuthorities.map(({ keyId }) => keyId);
    };
    const wanted = keyIdOf(minted.trim());
    // The first look at the bundle above is not waited for at the start.
    let known = await own();
    while (!known.includes(wanted)) known = await own();
  });

  test('is found again after a restart', async () => {
    const before = await server.bundlePem();
    await server.restart();
    assert.equal(await server.bundlePem(), before);
  });
});

describe('a stock SPIRE server below this one', needsShared('rig/spire/spire.sh'), () => {
  let fleet: Fleet;
  let dir: string;
  let bin: string;
  let child: ChildProcess;
  const socket = () => join(dir, 'server.sock');
  const spire = (...args: string[]): Promise<string> =>
    done(join(bin, 'spire-server'), ...args, '-socketPath', socket());

  before(async () => {
    bin = (await done(rig, 'build')).trim();
    dir = mkdtempSync(join(tmpdir(), 'sgn-below-'));
    fleet = await Fleet.start();
    await fleet.register('/below', '--downstream');
    mkdirSync(join(dir, 'data'));
    writeFileSync(
      join(dir, 'server.conf'),
      stockServerConfig({
        dir: `${dir}/data`,
        port: await freePort(),
        socket: socket(),
        trustDomain: TRUST_DOMAIN,
        plugins: `NodeAttestor "join_token" { plugin_data {} }
  UpstreamAuthority "spire" {
    plugin_data {
      server_address = "127.0.0.1"
      server_port = "${fleet.port}"
      workload_api_socket = "${fleet.workloadSocket}"
    }
  }`,
      }),
    );
    const log = openSync(join(dir, 'server.log'), 'a');
    child = spawn(join(bin, 'spire-server'), ['run', '-config', join(dir, 'server.conf')], {
      stdio: ['ignore', log, log],
    });
    await waitForSocket(socket(), child).catch((error: unknown) => {
      assert.fail(
        `${String(error)}\n${readFileSync(join(dir, 'server.log'), 'utf8').slice(-3000)}`,
      );
    });
  });
  after(async () => {
    if (child !== undefined) await stopChild(child);
    await fleet?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('issues leaves that OpenSSL verifies to the root of this one', async () => {
    await spire('x509', 'mint', '-spiffeID', `${TD}/web`, '-write', dir);
    const text = readFileSync(join(dir, 'svid.pem'), 'utf8');
    const chain = text.match(/-----BEGIN[\s\S]*?END CERTIFICATE-----\n/g) ?? [];
    writeFileSync(join(dir, 'roots.pem'), (await fleet.cli('bundle', 'show')).stdout);
    await verifyWithOpenSsl(dir, chain, join(dir, 'roots.pem'));
  });

  test('has its JWT key in the bundle of this one', async () => {
    const token = await spire('jwt', 'mint', '-spiffeID', `${TD}/web`, '-audience', 'orders');
    const shown = (await fleet.cli('bundle', 'show', '--format', 'spiffe')).stdout;
    assert.ok(shown.includes(keyIdOf(token.trim())), shown);
  });

  test('has its CA in the ledger of this one', async () => {
    const found = await fleet.json(
      'ledger',
      'search',
      '--data-dir',
      join(fleet.dir, 'server/data'),
      '--spiffe-id',
      TD,
    );
    assert.match(JSON.stringify(found), /downstream:spiffe:\/\/example\.org\/below/);
  });
});
