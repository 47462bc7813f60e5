import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TestCard } from '../../../test/support/dpu.ts';
import {
  agentOn,
  dpuRig,
  looks,
  ownKeyProof,
  SERIAL,
  type TestAgent,
} from '../../../test/support/dpu-attestation.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey, type TestKey } from '../../../test/support/x509.ts';
import { fail, unwrap } from '../../base/result.ts';
import type { OpenLook } from '../../dpu/collector.ts';
import { mayBeLight } from './light.ts';
import type { EvidenceKind } from './payload.ts';

const ALL_OF = ['spdm-redfish', 'x509pop'] as const;
const LIGHT: readonly EvidenceKind[] = ['x509pop'];

/** A DPU that attested in full once, and an agent that notes what it is asked for. */
async function setUp(context: TestContext, fullEvery = 3) {
  const state = { rules: 'one', meanwhile: async (): Promise<void> => {} };
  let open: OpenLook = async () => fail('REDFISH_UNREACHABLE', 'not set up');
  const look: OpenLook = (dpu) => open(dpu);
  const rig = await dpuRig(
    context,
    {},
    {
      require: [{ allOf: ALL_OF }],
      light: { fullEvery, look, rulesId: () => state.rules },
    },
  );
  const behind = (card: TestCard): void => {
    open = looks(card, ['secure-boot:on'], () => state.meanwhile());
  };
  behind(rig.card);
  const own = makeKey();
  const asked: (readonly EvidenceKind[])[] = [];
  /** An honest agent, but for what it is given. */
  const agent = (extra: Partial<TestAgent> = {}, proven: TestKey = own): TestAgent => {
    const key = makeKey();
    const honest = agentOn(rig.card, { key, offers: ALL_OF });
    return {
      ...honest,
      ownKey: (challenge) => ownKeyProof(proven, challenge, key),
      ...extra,
      show(challenge) {
        asked.push(challenge.kinds);
        return (extra.show ?? honest.show)(challenge);
      },
    };
  };
  const { attest } = rig;
  /** What one attestation that holds was asked for. */
  async function kindsOf(one: TestAgent = agent()): Promise<readonly (readonly EvidenceKind[])[]> {
    asked.length = 0;
    assertValue(await attest(one));
    return [...asked];
  }
  assert.deepEqual(await kindsOf(), [ALL_OF]);
  const silence = (): void => {
    open = async () => fail('REDFISH_UNREACHABLE', 'away');
  };
  return { ...rig, agent, asked, kindsOf, behind, silence, state };
}

test('§7.2 where a TPM is demanded no attestation is light', async (context) => {
  const { dpu } = await setUp(context);
  const light = {
    fullEvery: 3,
    look: async () => fail('REDFISH_UNREACHABLE', 'unused'),
    rulesId: () => 'one',
  };
  const parts = { light, ownKeyRoots: [] };
  assert.ok(mayBeLight(parts, dpu(), ALL_OF));
  assert.ok(!mayBeLight(parts, dpu(), [...ALL_OF, 'tpm2']));
});

for (const fullEvery of [1, 2, 3]) {
  test(`§7.8 of ${fullEvery} attestations one is in full`, async (context) => {
    const { kindsOf } = await setUp(context, fullEvery);
    for (let round = 0; round < 2; round++) {
      for (let light = 1; light < fullEvery; light++) assert.deepEqual(await kindsOf(), [LIGHT]);
      assert.deepEqual(await kindsOf(), [ALL_OF]);
    }
  });
}

test('§7.3 L2: a light attestation is the agent’s key and what the server collected', async (context) => {
  const { attest, agent, dpu, clock, kept } = await setUp(context);
  const { attestedAtSeconds } = dpu();
  clock.advance(60_000);
  const node = assertValue(await attest(agent()));
  assert.equal(node.assurance.binding, 'out-of-band');
  assert.equal(node.assurance.release, 'r2');
  const texts = node.selectors.map(({ text }) => text);
  for (const wanted of ['evidence:x509pop', 'binding:out-of-band', 'secure-boot:on', 'rim:r2']) {
    assert.ok(texts.includes(`dpu:${wanted}`), wanted);
  }
  assert.equal(dpu().attestedAtSeconds, attestedAtSeconds, 'of the last one in full');
  assert.equal(dpu().lastFull?.light, 1);
  assert.equal(dpu().assessment?.binding, 'out-of-band');
  assert.equal(kept.length, 2, 'what the server collected is kept');
});

test('§7.9 another key is refused, and nobody is put out: anybody could send it', async (context) => {
  const { agent, refuses, dpu, kindsOf } = await setUp(context);
  await refuses(agent({}, makeKey()), 'DPU_OWN_KEY');
  assert.equal(dpu().state, 'trusted');
  assert.deepEqual(await kindsOf(), [LIGHT], 'nothing was used up');
});

test('§7.9 no key is refused', async (context) => {
  const { agent, refuses } = await setUp(context);
  await refuses(agent({ ownKey: () => undefined }), 'DPU_EVIDENCE_INCOMPLETE');
});

test('§7.9 the key alone does not do when an attestation in full is due', async (context) => {
  const { agent, refuses, kindsOf } = await setUp(context, 2);
  assert.deepEqual(await kindsOf(), [LIGHT]);
  await refuses(agent({ show: async () => [] }), 'DPU_EVIDENCE_INCOMPLETE');
  await refuses(agent({ offers: ['x509pop'] }), 'DPU_EVIDENCE_INCOMPLETE');
});

test('a reboot makes it one in full, in the same conversation', async (context) => {
  const { card, kindsOf } = await setUp(context);
  card.reboot();
  assert.deepEqual(await kindsOf(), [LIGHT, ALL_OF]);
  assert.deepEqual(await kindsOf(), [LIGHT]);
});

test('§7.9 the key alone does not do after a reboot', async (context) => {
  const { card, agent, refuses, dpu } = await setUp(context);
  card.reboot();
  await refuses(agent({ show: async () => [] }), 'DPU_EVIDENCE_INCOMPLETE');
  assert.equal(dpu().lastFull?.light, 0);
});

test('other rules or manifests make it one in full', async (context) => {
  const { state, kindsOf } = await setUp(context);
  state.rules = 'two';
  assert.deepEqual(await kindsOf(), [ALL_OF]);
  assert.deepEqual(await kindsOf(), [LIGHT]);
});

test('a demand makes it one in full', async (context) => {
  const { inventory, kindsOf } = await setUp(context);
  assertValue(await inventory.demand(SERIAL, 'a newer manifest'));
  assert.deepEqual(await kindsOf(), [ALL_OF]);
});

test('a DPU that is degraded attests in full', async (context) => {
  const { inventory, kindsOf, dpu } = await setUp(context);
  const { assessment } = dpu();
  assert.ok(assessment);
  assertValue(await inventory.assess(SERIAL, { ...assessment, verdict: 'warning' }));
  assert.equal(dpu().state, 'degraded');
  assert.deepEqual(await kindsOf(), [ALL_OF]);
});

test('quarantine, and commissioning anew, make it one in full', async (context) => {
  const { inventory, kindsOf } = await setUp(context);
  const reason = 'on trial';
  assertValue(await inventory.quarantine(SERIAL, { reason }));
  assertValue(await inventory.move(SERIAL, 'release', { reason }));
  assert.deepEqual(await kindsOf(), [ALL_OF]);
  assertValue(await inventory.move(SERIAL, 'commission', { reason }));
  assert.deepEqual(await kindsOf(), [ALL_OF]);
});

test('a BMC that is silent ends it; then the grace runs, and one in full is due', async (context) => {
  const { silence, attest, agent, dpu, kindsOf } = await setUp(context);
  silence();
  assertRefused(await attest(agent()), 'DPU_NOT_JUDGED');
  assert.ok(dpu().unreachableSinceSeconds > 0);
  assert.deepEqual(await kindsOf(), [ALL_OF]);
});

test('§7.9 a firmware that no manifest allows puts the card out, whatever its agent shows', async (context) => {
  const { card, agent, refuses, dpu } = await setUp(context);
  card.state.release = 'unknown';
  card.reboot();
  await refuses(agent(), 'MEASUREMENT_MISMATCH');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.9 another card behind the BMC of the inventory puts the DPU out', async (context) => {
  const { behind, agent, refuses, dpu } = await setUp(context);
  behind(new TestCard(SERIAL));
  await refuses(agent(), 'DPU_KEY_UNKNOWN');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.8 two parties with one device key at once: the card is put out', async (context) => {
  const { card, inventory, agent, refuses, dpu } = await setUp(context);
  const other = { deviceId: card.deviceId, serial: SERIAL, csrKeyHash: 'another' };
  unwrap(await inventory.enterSession(other));
  await refuses(agent(), 'DPU_TWIN');
  assert.equal(dpu().state, 'quarantined');
});

test('a quarantine that comes while the server collects is not undone', async (context) => {
  const { state, inventory, agent, refuses, dpu } = await setUp(context);
  state.meanwhile = async () => {
    unwrap(await inventory.quarantine(SERIAL, { reason: 'seen elsewhere' }));
  };
  await refuses(agent(), 'DPU_NOT_ADMITTED');
  assert.equal(dpu().state, 'quarantined');
});

test('a demand that comes while the server collects is met in full', async (context) => {
  const { state, inventory, kindsOf, dpu } = await setUp(context);
  state.meanwhile = async () => {
    state.meanwhile = async () => {};
    unwrap(await inventory.demand(SERIAL, 'an operator asked'));
  };
  assert.deepEqual(await kindsOf(), [LIGHT, ALL_OF]);
  assert.equal(dpu().attestDemand, undefined);
});
