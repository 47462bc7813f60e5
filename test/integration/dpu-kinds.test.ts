import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { TCP_FRAMING } from '../../src/spdm/tcp-framing.ts';
import { sha256Hex } from '../support/dice.ts';
import { mockTarget, TestCard } from '../support/dpu.ts';
import { commission, dpuYaml } from '../support/dpu-yaml.ts';
import { Fleet } from '../support/fleet.ts';
import { IROT } from '../support/manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from '../support/mock-bmc.ts';
import { soon } from '../support/processes.ts';
import { type ResponderServer, serveResponder } from '../support/spdm-responder-server.ts';
import { makeKey } from '../support/x509.ts';

const SERIAL = 'MT0000X00001';

interface Shown {
  readonly state: string;
  /** Of the last attestation in full, Unix seconds; a number or, as JSON has int64, a text. */
  readonly attestedAt: string | number;
  readonly assessment?: { readonly binding: string };
}

/** Files of a test in a folder of their own, with what judges its cards. */
function testFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-'));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    file,
    path: (name: string) => join(folder, name),
    yaml: dpuYaml(folder),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

describe('a node whose card answers SPDM over TCP, without a BMC', () => {
  const card = new TestCard(SERIAL);
  const asked: number[] = [];
  const files = testFiles();
  const secretPath = files.path('join-secret');
  let fleet: Fleet;
  let responder: ResponderServer;

  before(async () => {
    card.state.versions = ['1.2'];
    responder = await serveResponder(TCP_FRAMING, () => {
      const respond = card.responder();
      return (request) => {
        asked.push(request[1] ?? 0);
        return respond(request);
      };
    });
    fleet = await Fleet.start({
      serverOnly: true,
      serverYaml: `${files.yaml}    binding: in-band
    require: [{ zones: [1], allOf: [spdm-direct, spdm-tunnel] }]
`,
      agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    direct: { targets: [{ id: ${IROT}, address: "${responder.host}:${responder.port}" }] }
    joinSecretPath: ${secretPath}
`,
    });
    const rows = `serial,model,zone\n${SERIAL},bluefield-3,1\n`;
    const secret = ['--new-join-secret', secretPath];
    await commission(fleet, SERIAL, files.file('dpus.csv', rows), card.deviceId, ...secret);
  });

  after(async () => {
    await fleet?.stop();
    await responder?.close();
    files.remove();
  });

  const awaitsSecret = async (): Promise<unknown> =>
    ((await fleet.json('dpu', 'show', SERIAL)) as { awaitsJoinSecret?: boolean })
      .awaitsJoinSecret ?? false;

  test('a secret for its image is made once, in a file for its owner', async () => {
    assert.equal(statSync(secretPath).mode & 0o777, 0o600);
    assert.match(readFileSync(secretPath, 'utf8'), /^[A-Za-z0-9_-]{43}\n$/);
    assert.equal(await awaitsSecret(), true);
    const act = ['dpu', 'commission', SERIAL, '--reason', 'again', '--new-join-secret', secretPath];
    const again = await fleet.cli(...act);
    assert.match(again.stderr, /is there already/);
    const short = await fleet.cli(
      ...act.with(-2, '--join-secret').with(-1, files.file('short', 'x'.repeat(21))),
    );
    assert.match(short.stderr, /fewer than 22 characters/);
    const both = await fleet.cli(...act, '--join-secret', secretPath);
    assert.match(both.stderr, /one of --join-secret and --new-join-secret/);
    assert.equal(await awaitsSecret(), true, 'a refused act changes nothing');
  });

  test('attests by the agent’s requester and by the server’s through the agent', async () => {
    await fleet.startAgent();
    await soon(async () => {
      const { state } = (await fleet.json('dpu', 'show', SERIAL)) as { state: string };
      return state === 'trusted';
    });
    const agentId = `spiffe://example.org/spire/agent/dpu/${card.deviceId}`;
    const shown = (await fleet.json('agent', 'show', '-spiffeID', agentId)) as {
      selectors: { type: string; value: string }[];
    };
    const values = shown.selectors.map(({ type, value }) => `${type}:${value}`);
    for (const wanted of ['evidence:spdm-direct', 'evidence:spdm-tunnel', 'binding:in-band']) {
      assert.ok(values.includes(`dpu:${wanted}`), `${wanted} in ${values.join(' ')}`);
    }
    assert.equal(await awaitsSecret(), false, 'used up');
    const conversations = asked.filter((code) => code === 0x84);
    assert.equal(conversations.length, 2, 'one of the agent and one of the server');
  });
});

describe('a node that attests in full and then lightly', () => {
  const card = new TestCard(SERIAL);
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    targets: { [IROT]: mockTarget(card) },
    card: { serialNumber: SERIAL },
  });
  const files = testFiles();
  let fleet: Fleet;

  const shown = async (): Promise<Shown> => (await fleet.json('dpu', 'show', SERIAL)) as Shown;
  const keyPath = (): string => join(dirname(fleet.bundlePath), 'agent-data', 'dpu-key.pem');

  before(async () => {
    const origin = await mock.listen();
    const user = files.file('bmc-user', MOCK_ACCOUNT.userName);
    const password = files.file('bmc-password', MOCK_ACCOUNT.password);
    const account = `userNamePath: ${user}, passwordPath: ${password}`;
    fleet = await Fleet.start({
      serverOnly: true,
      agentTtl: '6s',
      serverYaml: `${files.yaml}    bmc: { ${account} }
    require: [{ allOf: [spdm-redfish, x509pop] }]
    fullEvery: 1000
`,
      agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    bmc: { address: "${origin}", tlsPin: "${MOCK_TLS.pin}", ${account} }
`,
    });
    const { publicKey } = new X509Certificate(MOCK_TLS.cert);
    const pin = sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));
    const { port } = new URL(origin);
    const rows = `serial,bmc_host,bmc_port,bmc_tls_pin\n${SERIAL},127.0.0.1,${port},${pin}\n`;
    await commission(fleet, SERIAL, files.file('dpus.csv', rows), card.deviceId);
  });

  after(async () => {
    await fleet?.stop();
    await mock.stop();
    files.remove();
  });

  test('first the card, with a key of the agent’s own; then that key and the server’s look', async () => {
    await fleet.startAgent();
    await soon(async () => (await shown()).state === 'trusted');
    await soon(async () => (await shown()).assessment?.binding === 'out-of-band');
    assert.equal(statSync(keyPath()).mode & 0o777, 0o600);
  });

  test('a card that started anew has to be shown in full', async () => {
    // Times are in seconds: the last one in full must be of an earlier one.
    const before = Number((await shown()).attestedAt);
    await soon(async () => Date.now() >= (before + 1) * 1000);
    card.reboot();
    await soon(async () => Number((await shown()).attestedAt) > before);
    await soon(async () => (await shown()).assessment?.binding === 'out-of-band');
    assert.equal((await shown()).state, 'trusted');
  });

  test('another key in the place of the agent’s own is refused', async () => {
    const other = makeKey().privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(keyPath(), other);
    await soon(async () => fleet.log('server').includes('"code":"DPU_OWN_KEY"'));
    assert.ok(!fleet.log('agent').includes('DPU_OWN_KEY'), 'the agent is told a class only');
    await fleet.stopAgent();
  });
});
