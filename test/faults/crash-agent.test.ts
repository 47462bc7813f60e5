import assert from 'node:assert/strict';
import { readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { STATE_FILE } from '../../agent/attestation/state.ts';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { Fleet } from '../support/fleet.ts';
import { Reading, securityHeader, workloadClient } from '../support/workload-api.ts';
import { ROUNDS } from './field.ts';
import { between, runSeed } from './seed.ts';

const { seed, random } = runSeed('kill -9 of the agent');

/** Opens a stream and waits until it shows an identity. */
async function served(context: TestContext, fleet: Fleet, path: string): Promise<void> {
  const { api, channel } = workloadClient(context, fleet.workloadSocket);
  const stream = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
  for (let index = 1; ; index++) {
    const { svids } = await stream.message(index);
    if (svids.some(({ spiffeId }) => spiffeId.endsWith(path))) break;
  }
  stream.cancel();
  channel.close();
}

/** SPIFFE IDs of the agents that the server knows. */
async function attested(fleet: Fleet): Promise<readonly string[]> {
  const { agents } = (await fleet.json('agent', 'list')) as {
    agents: { id: { trustDomain: string; path: string } }[];
  };
  return agents.map(({ id }) => `spiffe://${id.trustDomain}${id.path}`);
}

/** Resolves when the agent begins to write its state; its SVID is renewed every few seconds. */
async function stateIsWritten(folder: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watcher = watch(folder, () => resolve());
  await promise;
  watcher.close();
}

test(`A12 killed ${ROUNDS} times, also while it writes its state, it goes on without a token`, async (context) => {
  const fleet = await Fleet.start({ agentTtl: '8s' });
  context.after(() => fleet.stop());
  const agentId = await fleet.agentId();
  const folder = join(fleet.dir, 'agent-data');
  for (let round = 1; round <= ROUNDS; round++) {
    // Every third at a write, the others at any moment, the first ones of a start included.
    if (round % 3 === 0) {
      await stateIsWritten(folder);
      await sleep(between(random, 0, 12));
    } else await sleep(between(random, 0, 600));
    await fleet.stopAgent('SIGKILL');
    const path = `/while-it-was-dead-${round}`;
    await fleet.register(path);
    await fleet.startAgent();
    await served(context, fleet, path);
    assert.deepEqual(await attested(fleet), [agentId], `the same agent, seed ${seed}`);
    const left = readdirSync(folder).filter((name) => name !== STATE_FILE && name !== 'lock');
    assert.deepEqual(
      left.filter((name) => !name.includes(`.${fleet.agentPid}-`)),
      [],
      `nothing half-written is left, seed ${seed}`,
    );
  }
  assert.doesNotMatch(fleet.log('agent'), /AGENT_STATE_CORRUPT|AGENT_MUST_ATTEST/);
});
