import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/index.ts';
import { TCP_FRAMING } from '../../src/spdm/tcp-framing.ts';
import { DPU_CLASS, TestCard } from '../support/dpu.ts';
import { BOOTS, HOST } from '../support/dpu-host.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed } from '../support/followed.ts';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenTarget,
} from '../support/manifest.ts';
import { freePort, soon, stopChild, waitForSocket } from '../support/processes.ts';
import { type ResponderServer, serveResponder } from '../support/spdm-responder-server.ts';
import { makeKey } from '../support/x509.ts';

const SERIAL = 'MT0000X00001';
const AGENTS = 'spiffe://example.org/spire/agent';

interface Shown {
  readonly state: string;
  readonly hostKey?: { readonly boot: string };
}

describe('a host whose DPU vouches for it', () => {
  const card = new TestCard(SERIAL);
  const children: ChildProcess[] = [];
  let folder: string;
  let fleet: Fleet;
  let responder: ResponderServer;
  let voucherPort: number;

  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const log = (name: string): string => readFileSync(join(folder, `${name}.log`), 'utf8');
  const socketOf = (name: string): string => join(folder, name, 'api.sock');

  /** An agent on the host: another process of the same machine, with a data folder of its own. */
  async function startHostAgent(name: string, bootId: string): Promise<ChildProcess> {
    mkdirSync(join(folder, name), { mode: 0o755 });
    const config = `trustDomain: example.org
dataDir: ${join(folder, name, 'data')}
server: { address: 127.0.0.1, port: ${fleet.port} }
bootstrap: { bundlePath: ${fleet.bundlePath} }
attestation:
  dpuHost:
    address: 127.0.0.1
    port: ${voucherPort}
    bootIdPath: ${file(`${name}-boot`, bootId)}
    uuidPath: ${file(`${name}-uuid`, HOST.uuid.toUpperCase())}
    serialPath: ${file(`${name}-serial`, HOST.serial)}
workloadSocket: { path: ${socketOf(name)} }
`;
    const out = openSync(join(folder, `${name}.log`), 'a');
    const args = ['agent', 'run', '--config', file(`${name}.yaml`, config)];
    const child = spawn(join(process.cwd(), 'bin/signet'), args, { stdio: ['ignore', out, out] });
    children.push(child);
    return child;
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-'));
    card.state.versions = ['1.2'];
    responder = await serveResponder(TCP_FRAMING, () => card.responder());
    voucherPort = await freePort();
    const signer = makeKey();
    const targets = [writtenTarget({ deviceClass: DPU_CLASS.name })];
    const manifest = signManifest(manifestBytes(writtenManifest({ targets })), signer);
    const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
    fleet = await Fleet.start({
      serverOnly: true,
      serverYaml: `attestation:
  dpuHost: { enabled: true }
  dpu:
    classes:
      - name: ${DPU_CLASS.name}
        roots: [${DPU_CLASS.roots[0]}]
        classCas: [${DPU_CLASS.classCas[0]}]
    targets: [{ id: ${IROT}, class: ${DPU_CLASS.name} }]
    manifests: { paths: [${file('manifest.json', manifest)}], signerPaths: [${file('signer.pem', publisher)}] }
    binding: in-band
    kinds: [spdm-direct]
`,
      agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    direct: { targets: [{ id: ${IROT}, address: "${responder.host}:${responder.port}" }] }
voucher:
  listen: { address: 127.0.0.1, port: ${voucherPort}, anyAddress: true }
`,
    });
    const rows = `serial,model,zone,host_uuid,host_serial\n${SERIAL},bluefield-3,1,${HOST.uuid},${HOST.serial}\n`;
    const imported = await fleet.cli('dpu', 'import', file('dpus.csv', rows));
    assert.equal(imported.code, 0, imported.stderr);
    const commissioned = await fleet.cli(
      ...['dpu', 'commission', SERIAL, '--device-id', card.deviceId, '--reason', 'vendor list'],
    );
    assert.equal(commissioned.code, 0, commissioned.stderr);
    writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
  });

  after(async () => {
    for (const child of children) await stopChild(child);
    await fleet?.stop();
    await responder?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('waits for its DPU, then attests by its word, and workloads of the host get SVIDs', async () => {
    const host = await startHostAgent('host', BOOTS[0]);
    await waitForSocket(socketOf('host'), host);
    await soon(async () => log('host').includes('VOUCHER_UNREACHABLE'));
    await fleet.startAgent();
    const hostId = `${AGENTS}/dpu_host/${card.deviceId}/${HOST.uuid}`;
    await soon(async () => log('host').includes(`"agentId":"${hostId}"`));
    const shown = (await fleet.json('agent', 'show', '-spiffeID', hostId)) as {
      selectors: { type: string; value: string }[];
    };
    const values = shown.selectors.map(({ type, value }) => `${type}:${value}`);
    assert.ok(values.includes(`dpu_host:host:uuid:${HOST.uuid}`), values.join(' '));
    const created = await fleet.cli(
      ...['entry', 'create', '-parentID', hostId, '-spiffeID', 'spiffe://example.org/web'],
      ...['-selector', `unix:uid:${process.getuid?.() ?? 0}`],
    );
    assert.equal(created.code, 0, created.stderr);
    const client = new WorkloadClient(unwrap(parseWorkloadAddress(`unix://${socketOf('host')}`)));
    const stream = new Followed(client);
    const { svids } = await stream.until(() => true);
    assert.equal(svids[0]?.id.uri, 'spiffe://example.org/web');
    stream.close();
    await client.close();
  });

  test('another key in the same boot gets nothing, nor one that invents a boot, and both are alarms', async () => {
    for (const [name, boot, code] of [
      ['second', BOOTS[0], 'VOUCHER_SECOND_KEY'],
      ['inventor', BOOTS[1], 'VOUCHER_BOOT_UNCONFIRMED'],
    ] as const) {
      await startHostAgent(name, boot);
      await soon(async () => log(name).includes('VOUCHER_REFUSED'));
      const lines = (): string[] => fleet.log('agent').split('\n');
      await soon(async () =>
        lines().some((line) => line.includes(code) && line.includes('"alarm":true')),
      );
    }
  });

  test('after an operator’s word on both sides another key is the first, and the DPU stands as it did', async () => {
    await Promise.all(children.splice(0).map((child) => stopChild(child)));
    rmSync(join(fleet.dir, 'agent-data', 'voucher-keys.json'));
    const confirmed = await fleet.cli('dpu', 'confirm-host', SERIAL, '--reason', 'installed anew');
    assert.equal(confirmed.code, 0, confirmed.stderr);
    assert.match(confirmed.stdout, /takes the next key of its host; it is trusted$/m);
    const shown = (await fleet.json('dpu', 'show', SERIAL)) as Shown;
    assert.deepEqual([shown.state, shown.hostKey], ['trusted', undefined]);
    const host = await startHostAgent('anew', BOOTS[1]);
    await waitForSocket(socketOf('anew'), host);
    // The socket answers before the agent has attested: what counts is the key at the server.
    await soon(async () => {
      const after = (await fleet.json('dpu', 'show', SERIAL)) as Shown;
      return after.hostKey?.boot === BOOTS[1];
    });
    const twice = await fleet.cli('dpu', 'confirm-host', SERIAL, '--reason', '  ');
    assert.notEqual(twice.code, 0);
  });

  test('quarantine of the DPU ends the streams of the host’s workloads', async () => {
    const client = new WorkloadClient(unwrap(parseWorkloadAddress(`unix://${socketOf('anew')}`)));
    const stream = new Followed(client);
    await stream.until(() => true);
    const out = await fleet.cli('dpu', 'quarantine', SERIAL, '--reason', 'looks odd');
    assert.equal(out.code, 0, out.stderr);
    await soon(async () => stream.errors.length > 0);
    stream.close();
    await client.close();
    assert.equal(((await fleet.json('dpu', 'show', SERIAL)) as Shown).state, 'quarantined');
  });
});
