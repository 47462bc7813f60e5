import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TCP_FRAMING } from '../../src/spdm/tcp-framing.ts';
import { DPU_CLASS, TestCard } from '../support/dpu.ts';
import { Fleet } from '../support/fleet.ts';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenTarget,
} from '../support/manifest.ts';
import { soon } from '../support/processes.ts';
import { type ResponderServer, serveResponder } from '../support/spdm-responder-server.ts';
import { makeKey } from '../support/x509.ts';

const SERIAL = 'MT0000X00001';

describe('a node whose card answers SPDM over TCP, without a BMC', () => {
  const card = new TestCard(SERIAL);
  const asked: number[] = [];
  let folder: string;
  let fleet: Fleet;
  let responder: ResponderServer;

  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sgn-dpu-'));
    card.state.versions = ['1.2'];
    responder = await serveResponder(TCP_FRAMING, () => {
      const respond = card.responder();
      return (request) => {
        asked.push(request[1] ?? 0);
        return respond(request);
      };
    });
    const signer = makeKey();
    const targets = [writtenTarget({ deviceClass: DPU_CLASS.name })];
    const manifest = signManifest(manifestBytes(writtenManifest({ targets })), signer);
    const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
    fleet = await Fleet.start({
      serverOnly: true,
      serverYaml: `attestation:
  dpu:
    classes:
      - name: ${DPU_CLASS.name}
        roots: [${DPU_CLASS.roots[0]}]
        classCas: [${DPU_CLASS.classCas[0]}]
    targets: [{ id: ${IROT}, class: ${DPU_CLASS.name} }]
    manifests: { paths: [${file('manifest.json', manifest)}], signerPaths: [${file('signer.pem', publisher)}] }
    binding: in-band
    require: [{ zones: [1], allOf: [spdm-direct, spdm-tunnel] }]
`,
      agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    direct: { targets: [{ id: ${IROT}, address: "${responder.host}:${responder.port}" }] }
`,
    });
    const rows = `serial,model,zone\n${SERIAL},bluefield-3,1\n`;
    const imported = await fleet.cli('dpu', 'import', file('dpus.csv', rows));
    assert.equal(imported.code, 0, imported.stderr);
    const commissioned = await fleet.cli(
      ...['dpu', 'commission', SERIAL, '--device-id', card.deviceId, '--reason', 'vendor list'],
    );
    assert.equal(commissioned.code, 0, commissioned.stderr);
  });

  after(async () => {
    await fleet?.stop();
    await responder?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('attests by the agent’s requester and by the server’s through the agent', async () => {
    writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
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
    const conversations = asked.filter((code) => code === 0x84);
    assert.equal(conversations.length, 2, 'one of the agent and one of the server');
  });
});
