import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { sha256Hex } from '../../../test/support/dice.ts';
import { TestCard } from '../../../test/support/dpu.ts';
import {
  agentOn,
  dpuRig,
  ownKeyProof,
  SERIAL,
  type TestAgent,
} from '../../../test/support/dpu-attestation.ts';
import { assertValue } from '../../../test/support/refused.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  type TestCertificateOptions,
  type TestKey,
} from '../../../test/support/x509.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { DpuDraft } from '../../rules/dpu.ts';
import type { DpuAttestorParts } from './parts.ts';

const REQUIRE = { require: [{ zones: [1], allOf: ['spdm-redfish', 'x509pop'] as const }] };
const OFFERS = { offers: ['spdm-redfish', 'x509pop'] as const };

/** An agent that keeps a key of its own. */
function keeping(card: TestCard, own: TestKey, extra: Partial<TestAgent> = {}): TestAgent {
  const key = extra.key ?? makeKey();
  const ownKey: TestAgent['ownKey'] = (challenge) => ownKeyProof(own, challenge, key);
  return agentOn(card, { ...OFFERS, key, ownKey, ...extra });
}

const setUp = (
  context: TestContext,
  extra: Partial<DpuDraft> = {},
  parts: Partial<DpuAttestorParts> = {},
) => dpuRig(context, extra, { ...REQUIRE, ...parts });

test('§7.2 D: the first attestation in full pins the key, the next ones demand it', async (context) => {
  const { card, attest, dpu } = await setUp(context);
  const own = makeKey();
  const node = assertValue(await attest(keeping(card, own)));
  assert.equal(dpu().ownKeySha256, sha256Hex(own.spki));
  const texts = node.selectors.map(({ text }) => text);
  assert.ok(texts.includes('dpu:evidence:x509pop') && texts.includes('dpu:evidence:spdm-redfish'));
  card.reboot();
  assertValue(await attest(keeping(card, own)));
  assert.equal(dpu().ownKeySha256, sha256Hex(own.spki));
});

test('§7.3 the first key is pinned only with the secret of the image, where one is awaited', async (context) => {
  const joinSecretHash = createHash('sha256').update('once').digest('hex');
  const { card, attest, refuses, dpu } = await setUp(context, { joinSecretHash });
  const own = makeKey();
  await refuses(keeping(card, makeKey()), 'DPU_JOIN_SECRET');
  assert.equal(dpu().ownKeySha256, '');
  assertValue(await attest(keeping(card, own, { joinSecret: 'once' })));
  assert.equal(dpu().ownKeySha256, sha256Hex(own.spki));
});

test('§7.9 another key, with the card behind it: somebody reached the card and is not its agent', async (context) => {
  const { card, attest, refuses, dpu } = await setUp(context);
  assertValue(await attest(keeping(card, makeKey())));
  await refuses(keeping(card, makeKey()), 'DPU_OWN_KEY');
  assert.equal(dpu().state, 'quarantined');
  assert.equal(dpu().assessment?.code, 'DPU_OWN_KEY');
});

test('§7.9 another key without the card is refused, and nobody is put out', async (context) => {
  const { card, attest, refuses, dpu } = await setUp(context);
  assertValue(await attest(keeping(card, makeKey())));
  const stranger = new TestCard(SERIAL);
  await refuses(keeping(stranger, makeKey()), 'DPU_KEY_UNKNOWN');
  assert.equal(dpu().state, 'trusted');
});

test('§7.9 a key that is asked for and not shown is missing; so is one that is not offered', async (context) => {
  const { card, refuses, dpu } = await setUp(context);
  await refuses(agentOn(card, OFFERS), 'DPU_EVIDENCE_INCOMPLETE');
  await refuses(agentOn(card), 'DPU_EVIDENCE_INCOMPLETE');
  assert.equal(dpu().state, 'commissioned');
});

test('a key that is not asked for is refused', async (context) => {
  const { card, refuses } = await dpuRig(context);
  await refuses(keeping(card, makeKey()), 'DPU_EVIDENCE_INCOMPLETE');
});

test('§7.9 a proof of an earlier session proves nothing', async (context) => {
  const { card, attest, refuses } = await setUp(context);
  const own = makeKey();
  const key = makeKey();
  let recorded: ReturnType<typeof ownKeyProof> | undefined;
  const ownKey: TestAgent['ownKey'] = (challenge) => (recorded = ownKeyProof(own, challenge, key));
  assertValue(await attest(keeping(card, own, { key, ownKey })));
  await refuses(keeping(card, own, { key, ownKey: () => recorded }), 'DPU_OWN_KEY');
});

test('§7.9 a proof for another key of a request proves nothing', async (context) => {
  const { card, refuses } = await setUp(context);
  const own = makeKey();
  const stolen: TestAgent['ownKey'] = (challenge) => ownKeyProof(own, challenge, makeKey());
  await refuses(keeping(card, own, { ownKey: stolen }), 'DPU_OWN_KEY');
});

test('a key that was changed on its way is not covered by the signature', async (context) => {
  const { card, refuses } = await setUp(context);
  const [own, other] = [makeKey(), makeKey()];
  const agent = keeping(card, own);
  const asked: TestAgent['ownKey'] = (challenge) => ownKeyProof(other, challenge, agent.key);
  agent.show = ((show) => async (challenge) => {
    swap = asked(challenge);
    return show(challenge);
  })(agent.show);
  let swap: ReturnType<typeof ownKeyProof> | undefined;
  agent.change = (response) => ({ ...response, ...(swap && { ownKey: swap }) });
  await refuses(agent, 'DPU_POSSESSION');
});

const commissioned = async (rig: Awaited<ReturnType<typeof setUp>>) =>
  rig.inventory.move(SERIAL, 'commission', { reason: 'new image' });

test('commissioning anew forgets the key, so that a new image may bring another', async (context) => {
  const rig = await setUp(context);
  assertValue(await rig.attest(keeping(rig.card, makeKey())));
  assertValue(await commissioned(rig));
  assert.equal(rig.dpu().ownKeySha256, '');
  const own = makeKey();
  assertValue(await rig.attest(keeping(rig.card, own)));
  assert.equal(rig.dpu().ownKeySha256, sha256Hex(own.spki));
});

const root = makeRoot();
const intermediate = makeIntermediate(root);

/** An agent whose image brought a certificate. */
function certified(card: TestCard, options: TestCertificateOptions = {}): TestAgent {
  const subject = { serialNumber: SERIAL };
  const leaf = makeCertificate({ issuer: intermediate, subject, ...options });
  const key = makeKey();
  const chain = [leaf.der, intermediate.der];
  const ownKey: TestAgent['ownKey'] = (challenge) => ownKeyProof(leaf.key, challenge, key, chain);
  return agentOn(card, { ...OFFERS, key, ownKey });
}

const CA = { ownKeyRoots: [root.certificate] };

test('802.1AR: a certificate of the image, with the serial number of the card, is its key', async (context) => {
  const { card, attest, dpu } = await setUp(context, {}, CA);
  assertValue(await attest(certified(card)));
  assert.equal(dpu().ownKeySha256, '', 'it may be renewed');
  assertValue(await attest(certified(card, { key: makeKey('rsa-2048') })));
});

const BAD: readonly (readonly [string, TestCertificateOptions, ErrorCode])[] = [
  ['of another card', { subject: { serialNumber: 'MT0000X00002' } }, 'DPU_OWN_CERTIFICATE'],
  ['of no card', { subject: { commonName: SERIAL } }, 'DPU_OWN_CERTIFICATE'],
  ['of another CA', { issuer: makeRoot() }, 'DPU_OWN_CERTIFICATE'],
  ['that lapsed', { notAfterMs: Date.UTC(2021, 0, 1) }, 'DPU_OWN_CERTIFICATE'],
  ['that is a CA', { ca: true }, 'DPU_OWN_CERTIFICATE'],
  [
    'that is a CA and may sign',
    { ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] },
    'DPU_OWN_CERTIFICATE',
  ],
  ['that may not sign', { keyUsage: ['keyAgreement'] }, 'DPU_OWN_CERTIFICATE'],
];
for (const [what, options, code] of BAD) {
  test(`a certificate ${what} is refused, and nobody is put out`, async (context) => {
    const { card, refuses, dpu } = await setUp(context, {}, CA);
    await refuses(certified(card, options), code);
    assert.equal(dpu().state, 'commissioned');
  });
}

test('a bare key where certificates are configured, and the other way, is refused', async (context) => {
  const withRoots = await setUp(context, {}, CA);
  await withRoots.refuses(keeping(withRoots.card, makeKey()), 'DPU_OWN_CERTIFICATE');
  const without = await setUp(context);
  await without.refuses(certified(without.card), 'DPU_OWN_CERTIFICATE');
});

test('a certificate of somebody else’s key proves nothing', async (context) => {
  const { card, refuses } = await setUp(context, {}, CA);
  const leaf = makeCertificate({ issuer: intermediate, subject: { serialNumber: SERIAL } });
  const key = makeKey();
  const chain = [leaf.der, intermediate.der];
  const ownKey: TestAgent['ownKey'] = (challenge) => ownKeyProof(makeKey(), challenge, key, chain);
  await refuses(agentOn(card, { ...OFFERS, key, ownKey }), 'DPU_OWN_KEY');
});
