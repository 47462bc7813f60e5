import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { dpuYaml } from '../support/dpu-yaml.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, run, soon, stopChild, waitForSocket } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { needsShared } from '../support/shared.ts';
import { makeKey } from '../support/x509.ts';
import { x509popChain } from '../support/x509pop.ts';
import { spirePrograms, startStockAgent } from './stock-agent.ts';
import { stockServerConfig } from './stock-server.ts';

/** Writes a chain and its key; answers the paths. */
function writeChain(dir: string, kind: 'ec-p256' | 'rsa-2048') {
  const { root, intermediate, leaf } = x509popChain(makeKey(kind));
  const paths = {
    root: join(dir, `${kind}-root.pem`),
    leaf: join(dir, `${kind}-leaf.pem`),
    above: join(dir, `${kind}-above.pem`),
    key: join(dir, `${kind}-key.pem`),
  };
  writeFileSync(paths.root, root.pem);
  writeFileSync(paths.leaf, leaf.pem);
  writeFileSync(paths.above, intermediate.pem);
  writeFileSync(paths.key, leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return paths;
}

describe('x509pop between this product and SPIRE', needsShared('rig/spire/spire.sh'), () => {
  let dir: string;
  let programs: string;

  before(async () => {
    programs = await spirePrograms();
    dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  });
  after(() => {
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  for (const kind of ['ec-p256', 'rsa-2048'] as const) {
    test(`a stock agent with an ${kind} key attests to this server`, async () => {
      const paths = writeChain(dir, kind);
      const fleet = await Fleet.start({
        serverOnly: true,
        // Beside it a method that is ours: stock agents are to notice nothing.
        serverYaml: `${dpuYaml(dir)}  x509pop:\n    caBundlePaths: ["${paths.root}"]\n`,
      });
      let child: ChildProcess | undefined;
      try {
        const agent = await startStockAgent(
          fleet,
          programs,
          `NodeAttestor "x509pop" { plugin_data {
            private_key_path = "${paths.key}"
            certificate_path = "${paths.leaf}"
            intermediates_path = "${paths.above}"
          } }`,
        );
        child = agent.child;
        const id = await fleet.agentId();
        assert.match(id, /^spiffe:\/\/example\.org\/spire\/agent\/x509pop\/[0-9a-f]{40}$/);
        const shown = (await fleet.json('agent', 'show', '--spiffe-id', id)) as {
          selectors: { type: string; value: string }[];
          assurance: { method: string; binding: string };
        };
        assert.ok(shown.selectors.some(({ value }) => value === 'subject:cn:node-1'));
        assert.deepEqual([shown.assurance.method, shown.assurance.binding], ['x509pop', 'key']);
      } finally {
        if (child !== undefined) await stopChild(child);
        await fleet.stop();
      }
    });

    test(`this agent with an ${kind} key attests to a stock server`, async () => {
      const home = mkdtempSync(join(dir, 'spire-'));
      const paths = writeChain(home, kind);
      const port = await freePort();
      mkdirSync(join(home, 'server'));
      writeFileSync(join(home, 'server.conf'), serverConfig(home, port, paths.root));
      const out = openSync(join(home, 'server.log'), 'a');
      const argv = ['run', '-config', join(home, 'server.conf')];
      const server = spawn(join(programs, 'spire-server'), argv, { stdio: ['ignore', out, out] });
      const spire = async (...args: string[]): Promise<string> => {
        const socket = ['-socketPath', `${home}/server.sock`];
        const done = await run(join(programs, 'spire-server'), [...args, ...socket]);
        assert.equal(done.code, 0, done.stderr);
        return done.stdout;
      };
      try {
        await waitForSocket(join(home, 'server.sock'), server);
        writeFileSync(join(home, 'bundle.pem'), await spire('bundle', 'show'));
        const config = agentConfigSchema.parse({
          trustDomain: 'example.org',
          dataDir: `${home}/agent`,
          server: { address: '127.0.0.1', port },
          bootstrap: { bundlePath: `${home}/bundle.pem` },
          attestation: {
            x509pop: {
              certificatePath: paths.leaf,
              privateKeyPath: paths.key,
              intermediatesPath: paths.above,
            },
          },
          workloadSocket: { path: `${home}/w/api.sock` },
        });
        const agent = assertValue(
          await startAgent(config, { log: createLogger({ level: 'silent' }) }),
        );
        try {
          await soon(async () => /x509pop\/[0-9a-f]{40}/.test(await spire('agent', 'list')));
        } finally {
          await agent.stop('test is over');
        }
      } finally {
        await stopChild(server);
      }
    });
  }
});

function serverConfig(dir: string, port: number, root: string): string {
  return stockServerConfig({
    dir: `${dir}/server`,
    port,
    socket: `${dir}/server.sock`,
    trustDomain: 'example.org',
    server: 'ca_key_type = "ec-p256"',
    plugins: `NodeAttestor "x509pop" { plugin_data { ca_bundle_path = "${root}" } }`,
  });
}
