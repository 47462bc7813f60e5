import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeCsr } from '../../examples/connector/csr.ts';
import { newKey } from '../../examples/connector/enrol.ts';
import { pemOf } from '../../examples/connector/spiffe.ts';
import { Refused } from '../../examples/connector/wire.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { TCP_FRAMING } from '../../src/spdm/tcp-framing.ts';
import { local } from '../support/companion.ts';
import { plainSettings } from '../support/companion-rig.ts';
import { runCompanion } from '../support/companion-server.ts';
import { ConnectorRig, startConnector } from '../support/connector-rig.ts';
import { TestCard } from '../support/dpu.ts';
import { commission, dpuYaml } from '../support/dpu-yaml.ts';
import { IROT } from '../support/manifest.ts';
import { soon } from '../support/processes.ts';
import { ask, attest } from '../support/server.ts';
import { type ResponderServer, serveResponder } from '../support/spdm-responder-server.ts';

// Connectors for nodes whose DPU has attested: by the SVID of a workload there, and by nothing less.

const { listConnectors } = ConnectorAdminService;
const SERIAL = 'MT0000X00001';
const WORKLOAD = 'spiffe://example.org/edge/proxy';
const AGENTS = 'spiffe://example.org/spire/agent';

const card = new TestCard(SERIAL);
let folder: string;
let rig: ConnectorRig;
let responder: ResponderServer;

const file = (name: string, content = ''): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  mkdirSync(join(folder, 'c'));
  card.state.versions = ['1.2'];
  responder = await serveResponder(TCP_FRAMING, () => card.responder());
  rig = await ConnectorRig.start({
    serverYaml: `${dpuYaml(folder)}    binding: in-band\n    kinds: [spdm-direct]\n`,
    agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    direct: { targets: [{ id: ${IROT}, address: "${responder.host}:${responder.port}" }] }
`,
  });
  const { fleet } = rig;
  await commission(
    fleet,
    SERIAL,
    file('dpus.csv', `serial,model,zone\n${SERIAL},bluefield-3,1\n`),
    card.deviceId,
  );
  await rig.putGroup({
    proofs: ['x509-svid'],
    spiffeIds: [WORKLOAD, `${AGENTS}/join_token/*`],
    requireAttestedNode: true,
    zones: [1],
    assurance: 'in-band',
  });
  await fleet.startAgent();
  await fleet.register('/edge/proxy');
});

after(async () => {
  await rig?.stop();
  await responder?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a companion on the node of the DPU enrols by its Workload API; an agent by join token does not', async (context) => {
  const settings = {
    ...plainSettings(join(folder, 'c'), rig.port),
    bootstrap: {},
    workloadApi: { socket: rig.fleet.workloadSocket },
    enrol: { method: 'x509-svid' },
  };
  const companion = await runCompanion(context, { folder, settings });
  await soon(async () => companion.health.report('ready').ok);
  const all = { group: 'edge', states: [], pageSize: 0, pageToken: '' };
  const list = async () => (await ask(rig.admin(), listConnectors, all)).connectors;
  await soon(async () => (await list())[0]?.state === 'active');
  const [shown] = await list();
  assert.deepEqual([shown?.proof, shown?.agentId], ['x509-svid', `${AGENTS}/dpu/${card.deviceId}`]);

  const { value } = (await rig.fleet.json('token', 'generate')) as { value: string };
  const key = newKey();
  const { svid } = await attest(rig.client(), value, makeCsr(key));
  const pem = String(key.export({ type: 'pkcs8', format: 'pem' }));
  const byToken = { key: pem, cert: pemOf(svid?.certChain ?? []) };
  const proof = { kind: 'x509-svid', shown: byToken } as const;
  const code = (error: unknown) => (error instanceof Refused ? error.code : String(error));
  assert.equal(await startConnector(context, rig, { proof }).catch(code), 'CONNECTOR_NODE_ZONE');
  const spiffeIds = [WORKLOAD, `${AGENTS}/join_token/*`];
  const group = { proofs: ['x509-svid'], spiffeIds, assurance: 'in-band' };
  await rig.putGroup(group);
  const second = await startConnector(context, rig, { proof }).catch(code);
  assert.equal(second, 'CONNECTOR_NODE_ASSURANCE');

  // Its node is out: so is the connector, until an operator says otherwise.
  const out = await rig.fleet.cli('dpu', 'quarantine', SERIAL, '--reason', 'looks odd');
  assert.equal(out.code, 0, out.stderr);
  const status = async () => (await local(join(folder, 'c'), '/status')).body;
  await soon(async () => (await status()).sessionUp === false);
  await soon(async () => (await list())[0]?.state !== 'active');
  const released = await rig.fleet.cli('dpu', 'release', SERIAL, '--reason', 'checked');
  assert.equal(released.code, 0, released.stderr);
  await soon(async () => (await status()).sessionUp === true);
  assert.deepEqual(
    (await list()).map(({ id }) => id),
    [shown?.id],
  );
});
