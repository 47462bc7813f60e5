import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DPU_CLASS, IROT_TARGET, TestCard } from '../../test/support/dpu.ts';
import { NVIDIA_FILES, readNvidiaEvidence } from '../../test/support/nvidia-evidence.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { needsShared } from '../../test/support/shared.ts';
import { systemRandom } from '../base/random.ts';
import type { Result } from '../base/result.ts';
import { unwrap } from '../base/result.ts';
import type { DeviceClass } from '../dice/device-class.ts';
import { firmwareExtensions, readFirmwareIds } from '../dice/firmware-id.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import { verifySignedMeasurements } from '../spdm/verify-measurements.ts';
import { toKeyObject } from '../x509/public-key.ts';
import { verifyEvidence } from './evidence.ts';
import { checkOpaqueFirmwareId, OPAQUE_FWID_FIELD } from './opaque-firmware-id.ts';

type Rule = NonNullable<DeviceClass['opaqueFwid']>;

const [GPU, SWITCH] = NVIDIA_FILES;

/** Genuine evidence: what its leaf certifies, and the opaque data that its leaf signed. */
function genuine(file: (typeof NVIDIA_FILES)[number]) {
  const { chain, messages, nonce } = readNvidiaEvidence(file);
  const [leaf] = chain;
  assert.ok(leaf !== undefined && firmwareExtensions(leaf).length > 0);
  const { opaque } = unwrap(
    verifySignedMeasurements({
      messages,
      nonce,
      leafKey: unwrap(toKeyObject(leaf.publicKey)),
      policy: DEFAULT_SPDM_POLICY,
    }),
  );
  return { layers: [{ name: 'L5', fwids: unwrap(readFirmwareIds(leaf)).fwids }], opaque };
}

const judge = (
  rule: Rule | undefined,
  { layers, opaque }: ReturnType<typeof genuine>,
  fwid: DeviceClass['fwid'] = 'required',
): Result<void> => {
  const deviceClass = { ...DPU_CLASS, fwid, ...(rule && { opaqueFwid: rule }) };
  return checkOpaqueFirmwareId(deviceClass, { layers }, opaque);
};

describe('genuine evidence', needsShared(GPU), () => {
  test('of a GPU holds the firmware id of its certificate', () => {
    for (const rule of [undefined, 'required', 'if-present', 'ignored'] as const) {
      assertValue(judge(rule, genuine(GPU)));
    }
  });

  test('of a GPU is refused when a bit of that id differs, unless the class ignores it', () => {
    const { layers, opaque } = genuine(GPU);
    const at = Buffer.from(opaque).indexOf(layers[0]?.fwids[0]?.digest ?? '');
    assert.ok(at > 0);
    for (const byte of [at, at + 47]) {
      const changed = Buffer.from(opaque);
      changed[byte] = (changed[byte] ?? 0) ^ 1;
      const evidence = { layers, opaque: changed };
      for (const rule of [undefined, 'required', 'if-present'] as const) {
        assertRefused(judge(rule, evidence), 'DEVICE_FWID_OPAQUE');
      }
      assertValue(judge('ignored', evidence));
    }
  });

  test('of a switch has none: refused only by a class that demands one', () => {
    assertValue(judge(undefined, genuine(SWITCH)));
    assertRefused(judge('required', genuine(SWITCH)), 'DEVICE_FWID_OPAQUE');
  });
});

function opaqueWith(digest: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(OPAQUE_FWID_FIELD, 0, digest.length, 0), digest]);
}

describe('evidence of a card', () => {
  const card = new TestCard('MT0000X00001');
  const [above, own] = card.boot.fwids;

  const verify = async (rule: Rule | undefined, opaque: Uint8Array) => {
    card.state.opaque = opaque;
    const nonce = systemRandom.bytes(32);
    const deviceClass = { ...DPU_CLASS, ...(rule && { opaqueFwid: rule }) };
    const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
    const shown = await card.evidence(nonce);
    return verifyEvidence(shown, { ...IROT_TARGET, deviceClass }, nonce, rules);
  };

  const NOBODY: readonly (Rule | undefined)[] = [];
  const UNLESS_IGNORED: readonly (Rule | undefined)[] = [undefined, 'required', 'if-present'];
  const DEMANDED: readonly (Rule | undefined)[] = ['required'];
  for (const [what, opaque, refusedBy] of [
    ['the firmware id of its leaf', opaqueWith(own), NOBODY],
    ['the firmware id of the layer above', opaqueWith(above), UNLESS_IGNORED],
    ['a firmware id that is a byte short', opaqueWith(own.subarray(1)), UNLESS_IGNORED],
    ['an empty firmware id', opaqueWith(new Uint8Array()), UNLESS_IGNORED],
    ['no opaque data', new Uint8Array(), DEMANDED],
    ['opaque data of another form', Buffer.of(1, 0, 0), DEMANDED],
    ['two firmware ids', Buffer.concat([opaqueWith(own), opaqueWith(own)]), DEMANDED],
  ] as const) {
    for (const rule of [undefined, 'required', 'if-present', 'ignored'] as const) {
      const refused = refusedBy.includes(rule);
      test(`with ${what} is ${refused ? 'refused' : 'taken'} (${rule ?? 'default'})`, async () => {
        const verified = await verify(rule, opaque);
        if (refused) assertRefused(verified, 'DEVICE_FWID_OPAQUE');
        else assertValue(verified);
      });
    }
  }

  test('of a class without firmware ids in certificates has nothing to compare with', () => {
    const evidence = { layers: [], opaque: opaqueWith(own) };
    assertValue(judge('if-present', evidence, 'ignored'));
    assertRefused(judge('required', evidence, 'ignored'), 'DEVICE_FWID_OPAQUE');
  });
});
