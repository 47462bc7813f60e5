import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeVendor, sha256Hex } from '../../test/support/dice.ts';
import { NVIDIA_FILES, readNvidiaEvidence } from '../../test/support/nvidia-evidence.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { unwrap } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import { verifySignedMeasurements } from '../spdm/verify-measurements.ts';
import { verifyDeviceChain } from './device-chain.ts';
import type { DeviceClass } from './device-class.ts';
import { readShownProduct } from './shown-product.ts';

const ROOT_FILE = 'vectors/nvidia/nvidia-device-identity-ca.pem';

/** The root's fingerprint as NVIDIA publishes it. */
const ROOT = '102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48';

/** The CA above both product lines: its name says GH100, yet switches are below it too. */
const SHARED_CA = '24713555df10fc';

/** Which CA made each chip, and what the chip says it is. */
const CHIPS = {
  'vectors/nvidia/hopper_evidence.json': {
    classCa: 'b20040bdc80f6961a2b9c9493cb804b61f41f1008f14ba80010039f4dd467ee9',
    info: /^NVIDIA:GH100:[0-9A-F]{16}$/,
  },
  'vectors/nvidia/switch_evidence_ls10.json': {
    classCa: 'e74e3ce447d58b7131d3241417a58d202cc43327c657b69498dd80913ce912be',
    info: /^NVIDIA:LS_10:[0-9A-F]{16}$/,
  },
} as const;

const AT_MS = Date.UTC(2026, 10, 22);

function classOf(...classCas: readonly string[]): DeviceClass {
  return { name: 'test', roots: [ROOT], classCas, keyTypes: ['ec-p384'], fwid: 'required' };
}

function chainOf(file: (typeof NVIDIA_FILES)[number]): readonly Uint8Array[] {
  return readNvidiaEvidence(file).chain.map(({ der }) => der);
}

const isRoot = (der: Uint8Array): boolean => sha256Hex(der) === ROOT;

for (const file of NVIDIA_FILES) {
  describe(`the chain of a genuine chip, ${file}`, needsShared(file), () => {
    const { classCa, info } = CHIPS[file];
    const judge = (deviceClass: DeviceClass) =>
      verifyDeviceChain(chainOf(file), { deviceClass, atMs: AT_MS });

    test('shows the pins of its product, by which it verifies', () => {
      const shown = assertValue(readShownProduct(chainOf(file)));
      const { roots, classCas } = shown.deviceClass;
      assert.deepEqual([roots, classCas], [[ROOT], [classCa]]);
      assert.equal(assertValue(judge(shown.deviceClass)).classCaSha256, classCa);
    });

    test('without its root shows nothing, unless the root is handed in', () => {
      const [root, ...rest] = [...chainOf(file)].sort((a, b) => +isRoot(b) - +isRoot(a));
      assert.ok(root !== undefined && isRoot(root));
      assertRefused(readShownProduct(rest), 'DEVICE_ROOT');
      const { deviceClass } = assertValue(readShownProduct(rest, [root]));
      assert.equal(
        assertValue(verifyDeviceChain(rest, { deviceClass, atMs: AT_MS })).rootSha256,
        ROOT,
      );
    });

    test('verifies to the real root with its own class pinned', () => {
      const chain = assertValue(judge(classOf(classCa)));
      assert.deepEqual([chain.rootSha256, chain.classCaSha256], [ROOT, classCa]);
      assert.match(chain.deviceInfo ?? '', info);
      const { layers } = chain;
      assert.deepEqual(
        layers.map(({ name, fwids }) => [name, fwids.map(({ algorithm }) => algorithm)]),
        [['L5', ['sha384']]],
      );
    });

    test('brings the key that its measurements are signed with', () => {
      const { leafKey } = assertValue(judge(classOf(classCa)));
      const { messages, nonce } = readNvidiaEvidence(file);
      const policy = DEFAULT_SPDM_POLICY;
      assertValue(verifySignedMeasurements({ messages, nonce, leafKey, policy }));
    });

    test('has the firmware id that is also in its signed measurements', () => {
      const [layer] = assertValue(judge(classOf(classCa))).layers;
      const [fwid] = layer?.fwids ?? [];
      const { messages } = readNvidiaEvidence(file);
      const isInEvidence = Buffer.from(messages).includes(fwid?.digest ?? 'nothing');
      assert.equal(isInEvidence, file.includes('hopper'), 'GPUs repeat it, switches do not');
    });

    test('is refused as a DPU: its class is not the one that is pinned', () => {
      for (const other of Object.values(CHIPS).filter((chip) => chip.classCa !== classCa)) {
        assertRefused(judge(classOf(other.classCa)), 'DEVICE_CLASS');
      }
      const ours = makeVendor().dpu.deviceClass.classCas;
      assertRefused(judge(classOf(...ours)), 'DEVICE_CLASS');
    });

    test('is refused where a CA above its class is pinned in its place', () => {
      const above = chainOf(file).map(sha256Hex);
      assert.ok(above[3]?.startsWith(SHARED_CA), 'both lines pass through one CA');
      assertRefused(judge(classOf(above[3] ?? '')), 'DEVICE_CLASS');
      assertRefused(judge(classOf(ROOT)), 'DEVICE_CLASS');
    });

    test('is refused below a root that is not pinned', () => {
      const { roots } = makeVendor().dpu.deviceClass;
      assertRefused(judge({ ...classOf(classCa), roots }), 'DEVICE_ROOT');
    });
  });
}

test('the pinned root is the certificate that NVIDIA publishes', needsShared(ROOT_FILE), () => {
  const [block] = unwrap(parsePem(readFileSync(join(sharedDir, ROOT_FILE))));
  assert.equal(block && sha256Hex(block.der), ROOT);
});
