import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { manifestFor, TestCard } from '../../../test/support/dpu.ts';
import { agentOn, dpuRig, looks, SERIAL } from '../../../test/support/dpu-attestation.ts';
import { IROT } from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { ok, unwrap } from '../../base/result.ts';
import type { DpuDraft } from '../../rules/dpu.ts';
import type { DpuAttestorParts } from './parts.ts';

type Rig = Awaited<ReturnType<typeof dpuRig>>;

/** A rig in which something happens while the server waits for the BMC, a second after the agent answered. */
async function meanwhile(
  context: TestContext,
  happens: (rig: Rig) => Promise<unknown>,
  parts: Partial<DpuAttestorParts> = {},
  extra: Partial<DpuDraft> = {},
): Promise<Rig> {
  const card = new TestCard(SERIAL);
  const outOfBand = looks(card, [], async () => {
    rig.clock.advance(1000);
    await happens(rig);
  });
  const rig: Rig = await dpuRig(
    context,
    { deviceIds: [card.deviceId], ...extra },
    { outOfBand, ...parts },
  );
  return { ...rig, card };
}

const reason = 'meanwhile';

test('§7.8 a release while the server collects wants evidence from after it', async (context) => {
  const rig = await meanwhile(context, async ({ inventory }) => {
    unwrap(await inventory.quarantine(SERIAL, { reason }));
    unwrap(await inventory.move(SERIAL, 'release', { reason }));
  });
  assertRefused(await rig.attest(agentOn(rig.card)), 'DPU_NOT_JUDGED');
  assert.deepEqual([rig.dpu().state, rig.dpu().mustAttest], ['commissioned', true]);
});

/** Another fact about the DPU. */
async function state(
  { inventory }: Pick<Rig, 'inventory'>,
  facts: Partial<DpuDraft>,
): Promise<void> {
  const changed = await inventory.change(SERIAL, ({ revision: _revision, ...draft }) =>
    ok({ ...draft, ...facts }),
  );
  unwrap(changed);
}

test('device keys that are pinned while the server collects have to be shown', async (context) => {
  const deviceIds = ['cd'.repeat(32)];
  const rig = await meanwhile(context, (one) => state(one, { deviceIds }));
  await rig.refuses(agentOn(rig.card), 'DPU_KEY_UNKNOWN');
  assert.deepEqual([rig.dpu().state, rig.dpu().deviceIds], ['commissioned', deviceIds]);
});

test('another zone while the server collects may demand more', async (context) => {
  const rig = await meanwhile(context, (one) => state(one, { zone: 0 }));
  assertRefused(await rig.attest(agentOn(rig.card)), 'DPU_NOT_JUDGED');
  assert.equal(rig.dpu().state, 'commissioned');
});

test('§7.5 a release that is withdrawn while the server collects is not accepted', async (context) => {
  let withdrawn = false;
  const rig = await meanwhile(
    context,
    async () => {
      withdrawn = true;
    },
    { manifestFor: (target) => (withdrawn ? undefined : manifestFor(target)) },
  );
  await rig.refuses(agentOn(rig.card), 'DPU_MANIFEST_ABSENT');
  assert.equal(rig.dpu().state, 'commissioned');
});

test('§7.5 an older release is a rollback where a newer one was accepted meanwhile', async (context) => {
  const accepted = [{ target: IROT, release: 'r3', order: 3 }];
  const rig = await meanwhile(context, (one) => state(one, { accepted }));
  await rig.refuses(agentOn(rig.card), 'ROLLBACK_RELEASE');
  assert.deepEqual(rig.dpu().accepted, accepted);
});

test('§7.8 a demand that came while the server collects stands', async (context) => {
  const rig = await meanwhile(context, ({ inventory }) => inventory.demand(SERIAL, reason));
  assertValue(await rig.attest(agentOn(rig.card)));
  assert.equal(rig.dpu().attestDemand?.reason, reason);
  assert.equal(rig.dpu().state, 'trusted');
});
