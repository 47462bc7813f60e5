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
import { assertValue } from '../../../test/support/refused.ts';
import { type PretendedTpm, pretendTpm } from '../../../test/support/tpm-rig.ts';
import { makeKey } from '../../../test/support/x509.ts';
import type { TpmClockMark } from '../../rules/assurance.ts';
import type { DpuTpmRules } from './tpm.ts';
import { encodeTpmAnswer } from './tpm-question.ts';

const OFFERS = { offers: ['spdm-redfish', 'tpm2'] as const };

type Tpm = ReturnType<typeof pretendTpm>;

/** A DPU of a zone that demands its TPM, and agents with TPMs that are known. */
async function setUp(context: TestContext) {
  const state: { last: TpmClockMark | undefined } = { last: undefined };
  const knownKeys = new Set<string>();
  const tpm: DpuTpmRules = {
    trust: { roots: [], intermediates: [], knownKeys },
    revocation: async () => ({ crls: [], maxStaleMs: 0 }),
    pcrs: [0, 7],
    unsafeClock: 'accepted',
    lastClock: () => state.last,
  };
  const require = [{ zones: [1], allOf: ['spdm-redfish', 'tpm2'] as const }];
  const rig = await dpuRig(context, {}, { require, tpm });
  const makeTpm = (pretended: Omit<PretendedTpm, 'server'> = {}, known = true): Tpm => {
    const made = pretendTpm(pretended);
    if (known) knownKeys.add(made.known);
    return made;
  };
  const agent = (one: Tpm, extra: Partial<TestAgent> = {}, card = rig.card): TestAgent => {
    const key = extra.key ?? makeKey();
    return agentOn(card, {
      ...OFFERS,
      key,
      async tpm({ session, challenge }) {
        const { payload } = one;
        const answer = challenge === undefined ? payload : one.respond(challenge, key.spki);
        return encodeTpmAnswer({ session, answer });
      },
      ...extra,
    });
  };
  return { ...rig, makeTpm, agent, state };
}

test('§7.2 C: the card’s TPM quotes for the key of the request, and is pinned', async (context) => {
  const { makeTpm, agent, attest, dpu } = await setUp(context);
  const tpm = makeTpm();
  const node = assertValue(await attest(agent(tpm)));
  const texts = node.selectors.map(({ text }) => text);
  assert.ok(texts.includes(`tpm:ek:sha256:${tpm.known}`) && texts.includes('dpu:evidence:tpm2'));
  assert.ok(!texts.some((text) => text.startsWith('tpm:pcr')), 'not certified by its maker');
  assert.equal(node.assurance.binding, 'in-band', 'a TPM in firmware raises no trust');
  assert.ok(node.assurance.tpmClock);
  assert.equal(dpu().ekSha256, tpm.known);
  assertValue(await attest(agent(tpm)));
});

test('§7.9 another TPM with the card behind it puts the card out', async (context) => {
  const { makeTpm, agent, attest, refuses, dpu } = await setUp(context);
  assertValue(await attest(agent(makeTpm())));
  await refuses(agent(makeTpm()), 'DPU_TPM_KEY');
  assert.equal(dpu().state, 'quarantined');
});

test('§7.9 another TPM without the card is refused, and nobody is put out', async (context) => {
  const { makeTpm, agent, attest, refuses, dpu } = await setUp(context);
  assertValue(await attest(agent(makeTpm())));
  await refuses(agent(makeTpm(), {}, new TestCard(SERIAL)), 'DPU_KEY_UNKNOWN');
  assert.equal(dpu().state, 'trusted');
});

test('§7.9 a TPM that nobody knows, and one that is not offered, are refused', async (context) => {
  const { makeTpm, agent, refuses, dpu } = await setUp(context);
  await refuses(agent(makeTpm({}, false)), 'TPM_EK');
  await refuses(agent(makeTpm(), { offers: ['spdm-redfish'] }), 'DPU_EVIDENCE_INCOMPLETE');
  assert.equal(dpu().state, 'commissioned');
  assert.equal(dpu().ekSha256, '');
});

test('§7.9 a quote for another key of a request is refused', async (context) => {
  const { makeTpm, agent, refuses } = await setUp(context);
  const tpm = makeTpm();
  const victim = makeKey().spki;
  const stolen = { ...tpm, respond: (bytes: Uint8Array) => tpm.respond(bytes, victim) };
  await refuses(agent(stolen), 'TPM_QUOTE');
});

test('§7.9 an answer of a TPM for another session is refused', async (context) => {
  const { makeTpm, agent, refuses } = await setUp(context);
  const { payload } = makeTpm();
  const session = 'A'.repeat(43);
  const tpm = async () => encodeTpmAnswer({ session, answer: payload });
  await refuses(agent(makeTpm(), { tpm }), 'DPU_SESSION');
});

test('§7.9 a TPM whose boots went back is refused', async (context) => {
  const { makeTpm, agent, attest, refuses, state } = await setUp(context);
  const tpm = makeTpm({ quote: { clock: { resetCount: 7 } } });
  state.last = { resetCount: 7, restartCount: 0, clockMs: 0 };
  assertValue(await attest(agent(tpm)));
  state.last = { resetCount: 8, restartCount: 0, clockMs: 0 };
  await refuses(agent(tpm), 'TPM_CLOCK');
});

test('commissioning anew forgets the TPM', async (context) => {
  const { makeTpm, agent, attest, inventory, dpu } = await setUp(context);
  assertValue(await attest(agent(makeTpm())));
  assertValue(await inventory.move(SERIAL, 'commission', { reason: 'new board' }));
  assert.equal(dpu().ekSha256, '');
  const tpm = makeTpm();
  assertValue(await attest(agent(tpm)));
  assert.equal(dpu().ekSha256, tpm.known);
});

test('a light attestation keeps what is known of the TPM’s clock', async (context) => {
  const card = new TestCard(SERIAL);
  const last = { resetCount: 7, restartCount: 0, clockMs: 0 };
  const { attest } = await dpuRig(
    context,
    { deviceIds: [card.deviceId] },
    {
      require: [{ allOf: ['x509pop'] }],
      light: { fullEvery: 2, look: looks(card), rulesId: () => '' },
      tpm: {
        trust: { roots: [], intermediates: [], knownKeys: new Set() },
        revocation: async () => ({ crls: [], maxStaleMs: 0 }),
        pcrs: [0],
        unsafeClock: 'accepted',
        lastClock: () => last,
      },
    },
  );
  const own = makeKey();
  const once = () => {
    const key = makeKey();
    const ownKey: TestAgent['ownKey'] = (challenge) => ownKeyProof(own, challenge, key);
    return attest(agentOn(card, { key, ownKey, offers: ['spdm-redfish', 'x509pop'] }));
  };
  assertValue(await once());
  const { assurance } = assertValue(await once());
  assert.equal(assurance.binding, 'out-of-band');
  assert.deepEqual(assurance.tpmClock, last);
});
