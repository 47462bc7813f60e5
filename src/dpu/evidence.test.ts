import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IROT_TARGET, TestCard } from '../../test/support/dpu.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { systemRandom } from '../base/random.ts';
import { DEFAULT_SPDM_POLICY } from '../spdm/policy.ts';
import { checkDeviceKeys } from './appraise-dpu.ts';
import { sameDevice, type VerifiedEvidence, verifyEvidence } from './evidence.ts';

const SERIAL = 'MT0000X00001';

/** Verified evidence of a card as it is now. */
async function evidenceOf(card: TestCard): Promise<VerifiedEvidence> {
  const nonce = systemRandom.bytes(32);
  const rules = { spdm: DEFAULT_SPDM_POLICY, atMs: Date.now() };
  return assertValue(verifyEvidence(await card.evidence(nonce), IROT_TARGET, nonce, rules));
}

test('§7.3 L3 two collections agree in device, boot and values, or are refused by what differs', async () => {
  const card = new TestCard(SERIAL);
  const first = await evidenceOf(card);
  assertValue(sameDevice(first, await evidenceOf(card)));
  const differs = (other: VerifiedEvidence, what: RegExp): void => {
    const result = sameDevice(first, other);
    assertRefused(result, 'DPU_RELAYED');
    assert.match(result.ok ? '' : result.error.message, what);
  };
  differs(await evidenceOf(new TestCard(SERIAL)), /another device key/);
  card.state.own = 'changed';
  differs(await evidenceOf(card), /another measurement/);
  card.state.own = 'own';
  card.reboot();
  differs(await evidenceOf(card), /another boot/);
});

test('one device key does not answer for two components', async () => {
  const card = new TestCard(SERIAL);
  const pinned = { serial: SERIAL, deviceIds: [card.deviceId] };
  const item = await evidenceOf(card);
  assertValue(checkDeviceKeys(pinned, [item]));
  const other = { ...item, target: 'Bluefield_ERoT' };
  assertRefused(checkDeviceKeys(pinned, [item, other]), 'DPU_KEY_UNKNOWN');
  assertRefused(checkDeviceKeys({ serial: SERIAL, deviceIds: [] }, [item]), 'DPU_KEY_MISSING');
});
