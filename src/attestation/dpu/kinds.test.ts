import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestCard } from '../../../test/support/dpu.ts';
import { agentOn, dpuRig, evidenceOf, SERIAL } from '../../../test/support/dpu-attestation.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey } from '../../../test/support/x509.ts';
import { type EvidenceKind, SPDM_KINDS, type SpdmKind } from './payload.ts';
import { wantedKinds } from './plan.ts';

const ALL: readonly SpdmKind[] = [...SPDM_KINDS];

for (const kind of SPDM_KINDS) {
  test(`evidence of the kind ${kind} is taken, and named in record and selector`, async (context) => {
    const { card, attest, dpu } = await dpuRig(context, {}, { kinds: ALL });
    const node = assertValue(await attest(agentOn(card, { offers: [kind] })));
    assert.ok(node.selectors.some(({ text }) => text === `dpu:evidence:${kind}`));
    assert.deepEqual(dpu().assessment?.evidence, [kind]);
  });
}

test('of what is offered the server takes what it names first', async (context) => {
  const kinds: readonly SpdmKind[] = ['spdm-direct', 'spdm-redfish'];
  const { card, attest, dpu } = await dpuRig(context, {}, { kinds });
  assertValue(await attest(agentOn(card, { offers: ['spdm-redfish', 'spdm-direct'] })));
  assert.deepEqual(dpu().assessment?.evidence, ['spdm-direct']);
});

test('a kind that the server does not name is not taken', async (context) => {
  const { card, refuses } = await dpuRig(context, {}, { kinds: ['spdm-redfish'] });
  await refuses(agentOn(card, { offers: ['spdm-direct'] }), 'DPU_EVIDENCE_INCOMPLETE');
});

const SWAPS: readonly (readonly [SpdmKind, SpdmKind])[] = [
  ['spdm-redfish', 'spdm-direct'],
  ['spdm-direct', 'spdm-redfish'],
];
for (const [asked, shown] of SWAPS) {
  test(`§7.9 evidence that was made as ${shown} is not taken as ${asked}`, async (context) => {
    const { card, refuses, dpu } = await dpuRig(context, {}, { kinds: ALL });
    const key = makeKey();
    const agent = agentOn(card, { key, offers: [asked] });
    const renamed = { ...agent };
    renamed.show = async (challenge) => [
      { ...(await evidenceOf(card, challenge, key, shown)), kind: asked },
    ];
    await refuses(renamed, 'SPDM_NONCE');
    const as = { ...agent };
    as.show = async (challenge) => [await evidenceOf(card, challenge, key, shown)];
    await refuses(as, 'DPU_EVIDENCE_INCOMPLETE');
    assert.equal(dpu().state, 'commissioned');
  });
}

test('evidence of a kind that was not asked for is refused, beside what was', async (context) => {
  const { card, refuses } = await dpuRig(context, {}, { kinds: ALL });
  const key = makeKey();
  const agent = agentOn(card, { key });
  agent.show = async (challenge) => [
    await evidenceOf(card, challenge, key),
    await evidenceOf(card, challenge, key, 'spdm-direct'),
  ];
  await refuses(agent, 'DPU_EVIDENCE_INCOMPLETE');
});

test('§7.9 evidence that an agent calls tunnelled is nobody’s', async (context) => {
  const { card, refuses } = await dpuRig(context, {}, { kinds: ALL });
  const key = makeKey();
  const agent = agentOn(card, { key, offers: ['spdm-tunnel'] });
  agent.show = async (challenge) => [await evidenceOf(card, challenge, key, 'spdm-tunnel')];
  await refuses(agent, 'DPU_EVIDENCE_INCOMPLETE');
});

const BOTH = [{ zones: [1], allOf: ['spdm-redfish', 'spdm-direct'] as const }];

test('§7.2 all kinds that a zone demands are shown, and each is named', async (context) => {
  const { card, attest, dpu } = await dpuRig(context, {}, { require: BOTH });
  const node = assertValue(
    await attest(agentOn(card, { offers: ['spdm-redfish', 'spdm-direct'] })),
  );
  const texts = node.selectors.map(({ text }) => text);
  assert.ok(
    texts.includes('dpu:evidence:spdm-redfish') && texts.includes('dpu:evidence:spdm-direct'),
  );
  assert.deepEqual(dpu().assessment?.evidence, ['spdm-redfish', 'spdm-direct']);
});

test('§7.2 absence of one kind is failure, offered or not', async (context) => {
  const { card, refuses } = await dpuRig(context, {}, { require: BOTH });
  await refuses(agentOn(card), 'DPU_EVIDENCE_INCOMPLETE');
  const key = makeKey();
  const silent = agentOn(card, { key, offers: ['spdm-redfish', 'spdm-direct'] });
  silent.show = async (challenge) => [await evidenceOf(card, challenge, key)];
  await refuses(silent, 'DPU_EVIDENCE_INCOMPLETE');
});

test('§7.3 two kinds that are of two boots put the card out', async (context) => {
  const { card, refuses, dpu } = await dpuRig(context, {}, { require: BOTH });
  const key = makeKey();
  const twin = new TestCard(SERIAL, card.device);
  const agent = agentOn(card, { key, offers: ['spdm-redfish', 'spdm-direct'] });
  agent.show = async (challenge) => [
    await evidenceOf(card, challenge, key),
    await evidenceOf(twin, challenge, key, 'spdm-direct'),
  ];
  await refuses(agent, 'DPU_RELAYED');
  assert.equal(dpu().state, 'quarantined');
});

const REQUIRE = [
  { zones: [0], allOf: ['spdm-tunnel'] as const },
  { zones: [0, 1], allOf: ['spdm-direct'] as const },
];
const PLANS: readonly (readonly [number | undefined, readonly EvidenceKind[] | undefined])[] = [
  [0, ['spdm-direct', 'spdm-tunnel']],
  [1, ['spdm-direct']],
  [2, ['spdm-redfish']],
  [undefined, ['spdm-direct', 'spdm-tunnel']],
];
for (const [zone, wanted] of PLANS) {
  test(`zone ${zone}: ${wanted?.join(' and ')}`, () => {
    const plan = { kinds: ['spdm-redfish'] as const, require: REQUIRE };
    assert.deepEqual(assertValue(wantedKinds({ serial: SERIAL, zone }, ALL, plan)), wanted);
    for (const missing of wanted ?? []) {
      const offers = ALL.filter((kind) => kind !== missing);
      assertRefused(wantedKinds({ serial: SERIAL, zone }, offers, plan), 'DPU_EVIDENCE_INCOMPLETE');
    }
  });
}
