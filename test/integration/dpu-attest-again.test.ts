import assert from 'node:assert/strict';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { sha256Hex } from '../support/dice.ts';
import { DPU_CLASS, mockTarget, TestCard } from '../support/dpu.ts';
import { Fleet } from '../support/fleet.ts';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenRelease,
  writtenTarget,
} from '../support/manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from '../support/mock-bmc.ts';
import { soon } from '../support/processes.ts';
import { makeKey } from '../support/x509.ts';

const SERIAL = 'MT0000X00001';

interface Shown {
  readonly state: string;
  readonly attestedAt: string;
  readonly assessment?: { readonly code: string; readonly binding: string };
}

describe('a node whose DPU goes on attesting', () => {
  const card = new TestCard(SERIAL);
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    targets: { [IROT]: mockTarget(card) },
    card: { serialNumber: SERIAL },
  });
  const signer = makeKey();
  let folder: string;
  let fleet: Fleet;
  let agentId: string;

  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, `${name}.new`), content, { mode: 0o600 });
    renameSync(join(folder, `${name}.new`), join(folder, name));
    return join(folder, name);
  };
  const publish = (sequence: number, ...releases: readonly string[]): string => {
    const target = writtenTarget({
      deviceClass: DPU_CLASS.name,
      releases: releases.map((id) => writtenRelease(id, Number(id.slice(1)))),
      minimumRelease: releases[0],
    });
    const payload = manifestBytes(writtenManifest({ sequence, targets: [target] }));
    return file('manifest.json', signManifest(payload, signer));
  };
  const shown = async (): Promise<Shown> => (await fleet.json('dpu', 'show', SERIAL)) as Shown;
  const attestations = (): number => fleet.log('agent').split('"msg":"attested"').length - 1;
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await fleet.cli(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-again-'));
    const origin = await mock.listen();
    const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
    const user = file('bmc-user', MOCK_ACCOUNT.userName);
    const password = file('bmc-password', MOCK_ACCOUNT.password);
    fleet = await Fleet.start({
      serverOnly: true,
      serverYaml: `attestation:
  dpu:
    classes:
      - name: ${DPU_CLASS.name}
        roots: [${DPU_CLASS.roots[0]}]
        classCas: [${DPU_CLASS.classCas[0]}]
    targets: [{ id: ${IROT}, class: ${DPU_CLASS.name} }]
    manifests: { paths: [${publish(7, 'r1', 'r2')}], signerPaths: [${file('signer.pem', publisher)}] }
    recheck: 1s
    spread: 0s
    secondLook: after
    watch: { interval: 1h, events: true }
    bmc: { userNamePath: ${user}, passwordPath: ${password} }
zones:
  rules: [{ path: /payments, zones: [1], assurance: dual }]
`,
      agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    bmc: { address: "${origin}", tlsPin: "${MOCK_TLS.pin}", userNamePath: ${user}, passwordPath: ${password} }
`,
    });
    const { port } = new URL(origin);
    const { publicKey } = new X509Certificate(MOCK_TLS.cert);
    const pin = sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));
    const rows = `serial,zone,bmc_host,bmc_port,bmc_tls_pin\n${SERIAL},1,127.0.0.1,${port},${pin}\n`;
    await run('dpu', 'import', file('dpus.csv', rows));
    await run('dpu', 'commission', SERIAL, '--from-bmc', '--reason', 'rack accepted');
    writeFileSync(fleet.bundlePath, await run('bundle', 'show'));
    agentId = `spiffe://example.org/spire/agent/dpu/${card.deviceId}`;
  });

  after(async () => {
    await fleet?.stop();
    await mock.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('gets its SVID as in-band, and is dual once the server has looked', async () => {
    await fleet.startAgent();
    await soon(async () => (await shown()).assessment?.binding === 'dual');
    const { selectors } = (await fleet.json('agent', 'show', '-spiffeID', agentId)) as {
      selectors: { type: string; value: string }[];
    };
    const values = selectors.map(({ value }) => value);
    assert.ok(values.includes('binding:dual') && values.includes('mode:dpu'), values.join(' '));
    assert.ok(!values.includes('binding:in-band'));
    // Demands dual; what the agent gets is told by push.
    await run(
      ...['entry', 'create', '-parentID', agentId, '-spiffeID', 'spiffe://example.org/payments'],
      ...['-selector', `unix:uid:${process.getuid?.() ?? 0}`],
    );
    await soon(async () => (await fleet.cli('api', 'fetch')).stdout.includes('/payments'));
  });

  test('attests again when an operator says so, and when its card has started anew', async () => {
    const first = attestations();
    await run('dpu', 'attest', SERIAL, '--reason', 'ticket 1');
    await soon(async () => attestations() > first);
    const found = await run('dpu', 'attest', SERIAL, '--now', '--reason', 'ticket 2');
    assert.match(found, /is as it attested\nIt is trusted/);
    card.reboot();
    const second = attestations();
    const rebooted = await run('dpu', 'attest', SERIAL, '--now', '--reason', 'ticket 3');
    assert.match(rebooted, /has started anew/);
    await soon(async () => attestations() > second);
    await soon(async () => (await shown()).assessment?.binding === 'dual');
    assert.match(await run('dpu', 'attest', '--zone', '2', '--reason', 'none'), /^0 agents are/);
    assert.match(await run('dpu', 'attest', '--zone', '1', '--reason', 'all'), /^1 agent is/);
  });

  test('attests again when its BMC tells of a reset', async () => {
    await soon(async () => mock.events.followers === 1);
    const before = attestations();
    card.reboot();
    mock.events.tell('OpenBMC.0.1.SystemReset');
    await soon(async () => attestations() > before);
    await soon(async () => (await shown()).assessment?.binding === 'dual');
  });

  test('goes out by a manifest that has not its release any more, before it attests again', async () => {
    publish(8, 'r3');
    await soon(async () => (await shown()).assessment?.code === 'MEASUREMENT_MISMATCH');
    assert.equal((await shown()).state, 'quarantined');
    const refused = await fleet.cli('dpu', 'attest', SERIAL, '--now', '--reason', 'look');
    assert.equal(refused.code, 1);
  });

  test('cannot be brought back by the manifest before that, across a kill and a start', async () => {
    await fleet.stopAgent();
    await fleet.stopServer('SIGKILL');
    publish(7, 'r1', 'r2');
    await assert.rejects(fleet.startServer());
    assert.match(fleet.log('server'), /MANIFEST_OLDER/);
    publish(9, 'r2', 'r3');
    await fleet.startServer();
    assert.equal((await shown()).state, 'quarantined');
  });
});
