import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { agentRecord, id, START_SECONDS as NOW, openState } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { startAgentPruner } from './agent-pruner.ts';

const HOUR_MS = 3_600_000;

/** A state with one agent whose SVID ends in an hour, and a pruner that lets it go a day later. */
async function pruned(
  context: TestContext,
  options: { expiredForSeconds?: number; canReattest?: boolean; nonReattestable?: boolean } = {},
) {
  const { expiredForSeconds = 86_400, canReattest = true, nonReattestable = false } = options;
  const state = await openState(context);
  const agent = agentRecord('a', { canReattest, expiresAtSeconds: NOW + 3600 });
  unwrap(
    await state.registry.recordAttestation({
      agent,
      aliasEntry: undefined,
      joinTokenAnswer: undefined,
    }),
  );
  const done = Promise.withResolvers<number>();
  const stop = startAgentPruner({
    ...state,
    expiredForSeconds,
    nonReattestable,
    onPruned: done.resolve,
    onFault: done.reject,
  });
  context.after(stop);
  /** Answers once the store has done what it was asked so far, and the view knows. */
  const settle = async () => {
    unwrap(await state.store.prune(0));
    unwrap(await state.registry.catchUp());
  };
  return { ...state, done, stop, settle };
}

test('an agent is forgotten when its SVID expired so long ago, at a prune an hour apart', async (context) => {
  const { registry, clock, done, settle } = await pruned(context);
  for (let hour = 0; hour < 23; hour++) {
    clock.advance(HOUR_MS);
    await settle();
  }
  assert.notEqual(registry.agent(id('/spire/agent/a')), undefined);
  clock.advance(4 * HOUR_MS);
  assert.equal(await done.promise, 1);
  await settle();
  assert.equal(registry.agent(id('/spire/agent/a')), undefined);
});

for (const [name, options] of [
  ['0 keeps every agent', { expiredForSeconds: 0 }],
  ['agents that cannot attest again stay unless told', { canReattest: false }],
] as const) {
  test(name, async (context) => {
    const { registry, clock, settle } = await pruned(context, options);
    clock.advance(27 * HOUR_MS);
    await settle();
    assert.equal(registry.countAgents(), 1);
  });
}

test('agents that cannot attest again go when that is asked for', async (context) => {
  const { clock, done } = await pruned(context, { canReattest: false, nonReattestable: true });
  clock.advance(27 * HOUR_MS);
  assert.equal(await done.promise, 1);
});

test('a stopped pruner touches nothing', async (context) => {
  const { registry, clock, stop, settle } = await pruned(context);
  stop();
  clock.advance(27 * HOUR_MS);
  await settle();
  assert.equal(registry.countAgents(), 1);
});
