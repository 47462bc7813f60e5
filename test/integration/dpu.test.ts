import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import { WorkloadClient } from '../../src/client/index.ts';
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { sha256Hex } from '../support/dice.ts';
import { mockTarget, TestCard } from '../support/dpu.ts';
import { dpuYaml } from '../support/dpu-yaml.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed } from '../support/followed.ts';
import { IROT } from '../support/manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from '../support/mock-bmc.ts';
import { soon } from '../support/processes.ts';

const SERIAL = 'MT0000X00001';

interface Shown {
  readonly state: string;
  readonly assessment?: { readonly code: string };
}

describe('a node that attests by its DPU', () => {
  const card = new TestCard(SERIAL);
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    targets: { [IROT]: mockTarget(card) },
    card: { serialNumber: SERIAL },
  });
  let folder: string;
  let fleet: Fleet;
  let agentId: string;

  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const state = async (): Promise<string> =>
    ((await fleet.json('dpu', 'show', SERIAL)) as Shown).state;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-'));
    const origin = await mock.listen();
    const user = file('bmc-user', MOCK_ACCOUNT.userName);
    const password = file('bmc-password', MOCK_ACCOUNT.password);
    fleet = await Fleet.start({
      serverOnly: true,
      agentTtl: '20s',
      serverYaml: `${dpuYaml(folder)}    bmc: { userNamePath: ${user}, passwordPath: ${password} }
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
    const rows = `serial,model,zone,bmc_host,bmc_port,bmc_tls_pin\n${SERIAL},bluefield-3,1,127.0.0.1,${port},${pin}\n`;
    const imported = await fleet.cli('dpu', 'import', file('dpus.csv', rows));
    assert.equal(imported.code, 0, imported.stderr);
    agentId = `spiffe://example.org/spire/agent/dpu/${card.deviceId}`;
  });

  after(async () => {
    await fleet?.stop();
    await mock.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('is refused while its card is not commissioned, and says what to do', async () => {
    writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
    await fleet.startAgent().catch(() => {});
    await soon(async () => fleet.log('agent').includes('AGENT_ATTESTATION_REFUSED'));
    assert.match(fleet.log('server'), /"code":"DPU_KEY_MISSING"/);
    assert.ok(!fleet.log('agent').includes('DPU_KEY_MISSING'), 'the agent is told a class only');
    await fleet.stopAgent();
  });

  test('commissioned from its BMC, it attests and its workloads get SVIDs', async () => {
    const commissioned = await fleet.cli(
      ...['dpu', 'commission', SERIAL, '--from-bmc', '--reason', 'rack accepted'],
    );
    assert.equal(commissioned.code, 0, commissioned.stderr);
    assert.equal(await state(), 'commissioned');
    await fleet.startAgent();
    await soon(async () => (await state()) === 'trusted');
    const shown = (await fleet.json('agent', 'show', '-spiffeID', agentId)) as {
      selectors: { type: string; value: string }[];
    };
    const values = shown.selectors.map(({ type, value }) => `${type}:${value}`);
    for (const wanted of ['dpu:binding:dual', 'dpu:rim:r2', 'dpu:zone:1', 'dpu:mode:dpu']) {
      assert.ok(values.includes(wanted), `${wanted} in ${values.join(' ')}`);
    }
  });

  test('a firmware that nobody allowed ends the node: quarantine reaches its workloads’ streams', async () => {
    const created = await fleet.cli(
      ...['entry', 'create', '-parentID', agentId, '-spiffeID', 'spiffe://example.org/web'],
      ...['-selector', `unix:uid:${process.getuid?.() ?? 0}`],
    );
    assert.equal(created.code, 0, created.stderr);
    const address = unwrap(parseWorkloadAddress(`unix://${fleet.workloadSocket}`));
    const client = new WorkloadClient(address);
    const stream = new Followed(client);
    const { svids } = await stream.until(() => true);
    assert.equal(svids[0]?.id.uri, 'spiffe://example.org/web');
    card.state.release = 'unknown';
    card.reboot();
    await soon(async () => (await state()) === 'quarantined');
    const { assessment } = (await fleet.json('dpu', 'show', SERIAL)) as Shown;
    assert.equal(assessment?.code, 'MEASUREMENT_MISMATCH');
    await soon(async () => stream.errors.length > 0);
    stream.close();
    await client.close();
    await fleet.stopAgent();
  });

  test('released, with its firmware put right, it attests in full and goes on', async () => {
    card.state.release = 'r2';
    card.reboot();
    const released = await fleet.cli('dpu', 'release', SERIAL, '--reason', 'firmware put back');
    assert.equal(released.code, 0, released.stderr);
    await fleet.startAgent();
    await soon(async () => (await state()) === 'trusted');
    const kept = await fleet.cli('dpu', 'evidence', SERIAL, '--list');
    assert.match(kept.stdout, /^EVIDENCE +KEPT\n\d+-[0-9a-f]{16} +\d{4}-\d\d-\d\dT/);
    const evidence = await fleet.cli('dpu', 'evidence', SERIAL);
    assert.equal(evidence.code, 0, evidence.stderr);
  });
});
