import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { answeringBmc } from '../../test/support/answering-bmc.ts';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { unwrap } from '../base/result.ts';
import { findTarget, readServiceRoot } from './component-integrity.ts';
import { readInventoryFromBmc } from './inventory.ts';
import { concludePosture, postureSelectors } from './posture.ts';
import { readPosture } from './posture-reader.ts';
import { collectSignedMeasurements } from './signed-measurements.ts';

const TREE = 'vectors/nvidia/bluefield-bmc-redfish-tree.tar.gz';

let folder: string | undefined;

/** Unpacked at the first use, for all tests. */
function unpack(): string {
  const made = mkdtempSync(join(tmpdir(), 'signet-tree-'));
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  execFileSync('tar', ['-xzf', join(sharedDir, TREE), '-C', made]);
  return made;
}

/** A BMC that answers what a real one answered once. */
function capturedBmc() {
  folder ??= unpack();
  const tree = folder;
  return answeringBmc((_, path) => {
    try {
      return { status: 200, body: readFileSync(join(tree, path, 'index.json')) };
    } catch {
      return { status: 404, body: Buffer.from('{}') };
    }
  });
}

test('a captured BMC gives an inventory record', needsShared(TREE), async () => {
  const { firmware, ...inventory } = unwrap(await readInventoryFromBmc(capturedBmc()));
  assert.deepEqual(inventory, {
    serial: 'MT2328XZ185R',
    partNumber: undefined,
    sku: '900-9D3B6-00CV-AA0',
    model: undefined,
    uuid: '90633594-1a24-ee11-8000-a088c2088072',
    psid: 'MT_0000000884',
    baseMac: undefined,
    bmcMac: 'a0:88:c2:08:80:97',
    bmcUuid: 'ace79559-b47c-419e-a99c-53f635051aa2',
  });
  assert.equal(firmware.get('DPU_NIC'), '32.38.1002');
  assert.equal(firmware.has('golden_image_arm'), false);
});

test(
  'a captured BMC cannot attest: an internal error is unavailable',
  needsShared(TREE),
  async () => {
    const bmc = capturedBmc();
    const root = unwrap(await readServiceRoot(bmc));
    assert.equal(root.product, 'Nvidia-BMCMezz');
    const found = await findTarget(bmc, root, 'Bluefield_ERoT');
    assert.equal(found.ok ? 'ok' : found.error.code, 'REDFISH_FAULT');
    const asked = { nonce: new Uint8Array(32), slot: 0 };
    const collected = await collectSignedMeasurements(bmc, 'Bluefield_ERoT', asked);
    assert.equal(collected.ok ? 'ok' : collected.error.code, 'REDFISH_FAULT');
  },
);

test(
  'a captured BMC claims DPU mode and nothing else that is good',
  needsShared(TREE),
  async () => {
    const facts = concludePosture(unwrap(await readPosture(capturedBmc())));
    assert.deepEqual(facts.mode.sources, ['Oem/Nvidia Mode=', 'Bios NicMode=DpuMode']);
    assert.equal(facts.secureBoot.value, 'off');
    assert.equal(facts.hostPrivilege.value, 'unknown');
    assert.deepEqual(postureSelectors(facts), ['mode:dpu']);
  },
);
