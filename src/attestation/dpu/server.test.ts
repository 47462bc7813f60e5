import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { makeDevice } from '../../../test/support/dice.ts';
import { DPU_CLASS, TEST_VENDOR, TestCard } from '../../../test/support/dpu.ts';
import {
  agentOn,
  dpuRig,
  evidenceOf,
  looks,
  nonceFor,
  SERIAL,
} from '../../../test/support/dpu-attestation.ts';
import { IROT, sha512 } from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { fail, unwrap } from '../../base/result.ts';
import { measurementText } from '../../dpu/manifest/device-record.ts';
import type { DpuChallenge, TargetEvidence } from './payload.ts';

test('a card that is pinned and runs an allowed release is attested', async (context) => {
  const { card, attest, dpu, kept } = await dpuRig(context);
  const node = assertValue(await attest(agentOn(card)));
  assert.equal(node.agentId.path, `/spire/agent/dpu/${card.deviceId}`);
  assert.deepEqual(node.assurance, { binding: 'in-band', zone: 1, release: 'r2' });
  assert.ok(node.canReattest);
  const values = node.selectors.map(({ text }) => text);
  for (const expected of [
    `dpu:serial:${SERIAL}`,
    'dpu:model:bluefield-3',
    'dpu:zone:1',
    'dpu:rack:r7',
    `dpu:devid:sha256:${card.deviceId}`,
    `dpu:ca:sha256:${DPU_CLASS.classCas[0]}`,
    `dpu:rot:${IROT}`,
    'dpu:rim:r2',
    'dpu:fw:nic:28.2.1000',
    `dpu:meas:${IROT}:2:sha512:${Buffer.from(sha512('psc r2')).toString('hex')}`,
    'dpu:evidence:spdm-redfish',
    'dpu:binding:in-band',
  ]) {
    assert.ok(values.includes(expected), expected);
  }
  const { state, assessment, accepted, attestedAtSeconds } = dpu();
  assert.equal(state, 'trusted');
  assert.equal(assessment?.verdict, 'affirming');
  assert.equal(assessment?.evidenceId, 'evidence-1');
  assert.deepEqual(accepted, [{ target: IROT, release: 'r2', order: 2 }]);
  assert.ok(attestedAtSeconds > 0);
  assert.equal(kept.length, 1);
});

for (const version of ['1.1', '1.2', '1.3'] as const) {
  test(`a card that speaks SPDM ${version} is attested`, async (context) => {
    const { card, attest } = await dpuRig(context);
    card.state.versions = [version];
    assertValue(await attest(agentOn(card)));
  });
}

test('it attests again, with the same baseline and another boot', async (context) => {
  const { card, attest, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  card.reboot();
  assertValue(await attest(agentOn(card)));
  assert.equal(dpu().state, 'trusted');
});

test('§7.9 replay: evidence of an earlier session is refused', async (context) => {
  const { card, attest, refuses, dpu } = await dpuRig(context);
  const key = makeKey();
  let recorded: readonly TargetEvidence[] = [];
  const honest = agentOn(card, { key });
  const show = honest.show;
  honest.show = async (challenge) => (recorded = await show(challenge));
  assertValue(await attest(honest));
  await refuses(agentOn(card, { key, show: async () => recorded }), 'SPDM_NONCE');
  await refuses(
    agentOn(card, { change: (response) => ({ ...response, session: 'A'.repeat(43) }) }),
    'DPU_SESSION',
  );
  assert.equal(dpu().state, 'trusted', 'what anybody can send puts nobody out');
});

test('§7.9 evidence stolen for another key is refused', async (context) => {
  const { card, refuses } = await dpuRig(context);
  const victim = makeKey();
  const stolen = async (challenge: DpuChallenge) => [await evidenceOf(card, challenge, victim)];
  await refuses(agentOn(card, { show: stolen }), 'SPDM_NONCE');
  await refuses(agentOn(card, { signer: makeKey() }), 'DPU_POSSESSION');
});

test('§7.9 a GPU under the same root is refused as a DPU', async (context) => {
  const { refuses } = await dpuRig(context);
  const gpu = new TestCard('GPU-1', makeDevice(TEST_VENDOR.gpu, 'GPU-1'));
  await refuses(agentOn(gpu), 'DEVICE_CLASS');
});

test('§7.9 a genuine card that is not the pinned one is refused, and nobody is put out', async (context) => {
  const { refuses, dpu } = await dpuRig(context);
  await refuses(agentOn(new TestCard('MT0000X00002')), 'DPU_KEY_UNKNOWN');
  assert.equal(dpu().state, 'commissioned');
});

test('§7.9 evidence of another component, of none, of one too many', async (context) => {
  const { card, refuses } = await dpuRig(context);
  const key = makeKey();
  const as = (target: string) => async (challenge: DpuChallenge) => [
    {
      kind: 'spdm-redfish' as const,
      ...(await card.evidence(nonceFor(challenge, key, target), IROT)),
    },
  ];
  await refuses(agentOn(card, { key, show: as('Bluefield_ERoT') }), 'SPDM_NONCE');
  const twice = async (challenge: DpuChallenge) => {
    const item = await evidenceOf(card, challenge, key);
    return [item, item];
  };
  await refuses(agentOn(card, { key, show: twice }), 'DPU_EVIDENCE_INCOMPLETE');
  const more = async (challenge: DpuChallenge) => {
    const item = await evidenceOf(card, challenge, key);
    return [item, { ...item, target: 'Bluefield_ERoT' }];
  };
  await refuses(agentOn(card, { key, show: more }), 'DPU_EVIDENCE_INCOMPLETE');
});

test('§7.9 a firmware that no manifest allows puts the card out at once', async (context) => {
  const { card, attest, refuses, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  card.state.release = 'unknown';
  card.reboot();
  await refuses(agentOn(card), 'MEASUREMENT_MISMATCH');
  assert.equal(dpu().state, 'quarantined');
  assert.equal(dpu().assessment?.code, 'MEASUREMENT_MISMATCH');
  card.state.release = 'r2';
  card.reboot();
  await refuses(agentOn(card), 'DPU_NOT_ADMITTED');
});

test('§7.9 an older firmware than the last one puts the card out', async (context) => {
  const { card, attest, refuses, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  card.state.release = 'r1';
  card.reboot();
  await refuses(agentOn(card), 'ROLLBACK_RELEASE');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.9 a changed security configuration puts the card out', async (context) => {
  const { card, attest, refuses, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  card.state.own = 'debug unlocked';
  await refuses(agentOn(card), 'MEASUREMENT_BASELINE');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.9 a newer firmware goes on, and its release is the new floor', async (context) => {
  const { card, attest, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  card.state.release = 'r3';
  card.reboot();
  assertValue(await attest(agentOn(card)));
  assert.deepEqual(dpu().accepted, [{ target: IROT, release: 'r3', order: 3 }]);
});

const STATES = [
  ['enrolling', [], 'DPU_KEY_MISSING'],
  ['quarantined', undefined, 'DPU_NOT_ADMITTED'],
  ['retired', undefined, 'DPU_NOT_ADMITTED'],
] as const;
for (const [state, deviceIds, code] of STATES) {
  test(`a card that is ${state} is not attested`, async (context) => {
    const { card, refuses } = await dpuRig(context, { state, ...(deviceIds && { deviceIds }) });
    await refuses(agentOn(card), code);
  });
}

test('a serial number that nobody imported is refused like any other thing', async (context) => {
  const { card, refuses } = await dpuRig(context);
  await refuses(agentOn(card, { serial: 'MT9999' }), 'DPU_NOT_FOUND');
});

test('the secret of the image is due at the first attestation, and used up by it', async (context) => {
  const joinSecretHash = createHash('sha256').update('once').digest('hex');
  const { card, attest, refuses, dpu } = await dpuRig(context, { joinSecretHash });
  await refuses(agentOn(card), 'DPU_JOIN_SECRET');
  await refuses(agentOn(card, { joinSecret: 'twice' }), 'DPU_JOIN_SECRET');
  assertValue(await attest(agentOn(card, { joinSecret: 'once' })));
  assert.equal(dpu().joinSecretHash, '');
});

test('§7.8 two parties with one device key at once: the card is put out', async (context) => {
  const { card, inventory, refuses, dpu } = await dpuRig(context);
  const other = { deviceId: card.deviceId, serial: SERIAL, csrKeyHash: 'another' };
  unwrap(await inventory.enterSession(other));
  await refuses(agentOn(card), 'DPU_TWIN');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.3 L3: the BMC of the inventory says the same to the server', async (context) => {
  const card = new TestCard(SERIAL);
  const outOfBand = looks(card, ['mode:dpu', 'secure-boot:on']);
  const { attest, dpu } = await dpuRig(context, { deviceIds: [card.deviceId] }, { outOfBand });
  const node = assertValue(await attest(agentOn(card)));
  assert.equal(node.assurance.binding, 'dual');
  const texts = node.selectors.map(({ text }) => text);
  assert.ok(texts.includes('dpu:secure-boot:on') && texts.includes('dpu:binding:dual'));
  assert.deepEqual(dpu().assessment?.posture, { mode: 'dpu', 'secure-boot': 'on' });
});

test('§7.9 relay: evidence of a card that is not behind the BMC of the inventory puts it out', async (context) => {
  const card = new TestCard(SERIAL);
  const twin = new TestCard(SERIAL, card.device);
  const parts = { outOfBand: looks(twin) };
  const { refuses, dpu } = await dpuRig(context, { deviceIds: [card.deviceId] }, parts);
  await refuses(agentOn(card), 'DPU_RELAYED');
  assert.equal(dpu().state, 'quarantined');
});

test('a BMC that does not answer is no finding: the agent may try again', async (context) => {
  const outOfBand = async () => fail('REDFISH_UNREACHABLE', 'away');
  const { card, attest, dpu } = await dpuRig(context, {}, { outOfBand });
  assertRefused(await attest(agentOn(card)), 'DPU_NOT_JUDGED');
  assert.equal(dpu().state, 'commissioned');
  assert.ok(dpu().unreachableSinceSeconds > 0, 'the grace begins');
});

test('without a manifest for the component nothing is attested, and nobody is put out', async (context) => {
  const { card, refuses, dpu } = await dpuRig(context, {}, { manifestFor: () => undefined });
  await refuses(agentOn(card), 'DPU_MANIFEST_ABSENT');
  assert.equal(dpu().state, 'commissioned');
});

test('the baseline is what the first attestation after commissioning showed', async (context) => {
  const { card, attest, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  const { baseline } = dpu();
  assert.deepEqual(
    baseline.map(({ index }) => index),
    [7, 8, 9, 10],
  );
  const seven = { index: 7, raw: false, kind: 2, value: sha512('own 7') };
  assert.equal(baseline[0]?.value, measurementText(seven));
});

test('the first attestation in full pins which key is of which component', async (context) => {
  const { card, attest, inventory, dpu } = await dpuRig(context);
  assertValue(await attest(agentOn(card)));
  assert.deepEqual(dpu().devicePins, [{ target: IROT, deviceId: card.deviceId }]);
  assertValue(await inventory.move(SERIAL, 'commission', { reason: 'anew' }));
  assert.equal(dpu().devicePins, undefined);
});

test('§7.9 a card that answers for a component with the key of another is refused, and nobody is put out', async (context) => {
  const card = new TestCard(SERIAL);
  const deviceIds = [card.deviceId];
  const devicePins = [{ target: 'Another', deviceId: card.deviceId }];
  const { refuses, dpu } = await dpuRig(context, { deviceIds, devicePins });
  await refuses(agentOn(card), 'DPU_KEY_UNKNOWN');
  assert.equal(dpu().state, 'commissioned');
});
