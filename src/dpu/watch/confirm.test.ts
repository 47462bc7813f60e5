import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { setUpWatch } from '../../../test/support/dpu-watch.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { unwrap } from '../../base/result.ts';
import { confirmDual, owesSecondLook } from './confirm.ts';
import type { LookedAt } from './look.ts';

/** A DPU that attested in band, and what a look at it found that agrees. */
async function lookedAt(context: TestContext) {
  const state = await setUpWatch(context, { binding: 'in-band' });
  const dpu = state.now();
  const components = dpu.assessment?.components ?? [];
  const looked: LookedAt = { dpu, compared: 'same', components, posture: ['mode:dpu'] };
  return { state, looked };
}

const bindings = ({ state }: Awaited<ReturnType<typeof lookedAt>>) => [
  state.agent()?.assurance?.binding,
  state.now().assessment?.binding,
];

it('a look that agrees raises agent and DPU, and again changes nothing', async (context) => {
  const found = await lookedAt(context);
  assertValue(await confirmDual(found.state, found.looked));
  assert.deepEqual(bindings(found), ['dual', 'dual']);
  const { revision } = found.state.now();
  assertValue(await confirmDual(found.state, found.looked));
  assert.equal(found.state.now().revision, revision);
});

it('a look raises nothing for an attestation that came after what it was compared with', async (context) => {
  const found = await lookedAt(context);
  found.state.card.reboot();
  assertValue(await found.state.attest('in-band'));
  assertValue(await confirmDual(found.state, found.looked));
  assert.deepEqual(bindings(found), ['in-band', 'in-band']);
});

it('a look raises nobody where there is no agent', async (context) => {
  const found = await lookedAt(context);
  unwrap(await found.state.store.deleteAgent(found.state.agentId));
  unwrap(await found.state.registry.catchUp());
  assertRefused(await confirmDual(found.state, found.looked), 'DPU_NOT_FOUND');
});

it('a look is owed to who stands by what its agent alone showed, and to nobody else', async (context) => {
  const { state } = await lookedAt(context);
  const dpu = state.now();
  const { assessment } = dpu;
  assert.ok(assessment !== undefined && owesSecondLook(dpu));
  for (const change of [
    { state: 'quarantined' },
    { state: 'commissioned' },
    { mustAttest: true },
    { assessment: undefined },
    { assessment: { ...assessment, binding: 'dual' } },
    { assessment: { ...assessment, binding: 'out-of-band' } },
    { assessment: { ...assessment, verdict: 'contraindicated' } },
  ] as const) {
    assert.ok(!owesSecondLook({ ...dpu, ...change }));
  }
});
