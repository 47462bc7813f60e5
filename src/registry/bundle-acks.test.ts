import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { agentRecord, id, openState, START_SECONDS } from '../../test/support/state.ts';
import { fail, unwrap } from '../base/result.ts';
import type { AgentRecord } from '../rules/entry.ts';
import { emptyBundle } from '../spiffe/bundle.ts';
import { BundleAcks } from './bundle-acks.ts';

const START_MS = START_SECONDS * 1000;
const HOUR_MS = 3_600_000;
const agent = (name: string) => id(`/spire/agent/${name}`);

/** Agents that attested an hour before, and the third bundle, all two minutes and more ago. */
async function world(context: TestContext, agents: readonly Partial<AgentRecord>[] = [{}]) {
  const state = await openState(context);
  const { store, registry, clock } = state;
  for (const [index, extra] of agents.entries()) {
    const record = agentRecord(`n${index}`, {
      attestedAtSeconds: START_SECONDS - 3600,
      expiresAtSeconds: START_SECONDS + 2 * 3600,
      ...extra,
    });
    const write = { agent: record, aliasEntry: undefined, joinTokenAnswer: undefined };
    unwrap(await registry.recordAttestation(write));
  }
  const publish = async () => {
    const { version } = unwrap(await store.loadJournal());
    const bundle = emptyBundle(registry.trustDomain);
    const write = { expectedVersion: version, journal: Uint8Array.of(1), bundle };
    unwrap(await store.commitAuthorities(write));
    unwrap(await registry.catchUp());
  };
  for (let i = 0; i < 3; i++) await publish();
  const open = (): BundleAcks => {
    const acks = new BundleAcks({ registry, store, clock });
    context.after(() => acks.close());
    return acks;
  };
  const acks = open();
  clock.advance(HOUR_MS);
  const missing = async (sequence = 3n, publishedAtMs = START_MS, of = acks) =>
    unwrap(await of.missing({ sequence, publishedAtMs })).map((uri) => uri.slice(-2));
  return { ...state, acks, open, publish, missing };
}

/** Answers when acknowledgements are written. */
const written = (acks: BundleAcks) => new Promise<void>((resolve) => acks.onProgress(resolve));

describe('acknowledged bundles', () => {
  it('miss an agent that is connected until it has the bundle', async (context) => {
    const { acks, missing, clock } = await world(context);
    const leave = acks.connected(agent('n0'));
    assert.deepEqual(await missing(), ['n0']);
    acks.acked(agent('n0'), 2n);
    assert.deepEqual(await missing(), ['n0'], 'n - 1');
    acks.acked(agent('n0'), 3n);
    assert.deepEqual(await missing(), [], 'n');
    clock.advance(HOUR_MS / 2);
    assert.deepEqual(await missing(4n), ['n0'], 'an open stream is not silent');
    leave();
  });

  it('count nothing that is newer than the bundle itself', async (context) => {
    const { acks, missing, publish } = await world(context);
    acks.connected(agent('n0'));
    acks.acked(agent('n0'), 4n);
    assert.deepEqual(await missing(), ['n0']);
    await publish();
    assert.deepEqual(await missing(4n), ['n0']);
  });

  it('drop an agent after two minutes of silence, to the millisecond', async (context) => {
    const { acks, missing, clock } = await world(context);
    acks.connected(agent('n0'))();
    clock.advance(119_999);
    assert.deepEqual(await missing(), ['n0']);
    clock.advance(1);
    assert.deepEqual(await missing(), []);
  });

  it('give who was not heard two minutes from the publication, the start or the attestation', async (context) => {
    const { missing, clock, open, registry } = await world(context);
    assert.deepEqual(await missing(), []);
    const nowMs = clock.nowMs();
    assert.deepEqual(await missing(3n, nowMs - 119_999), ['n0']);
    assert.deepEqual(await missing(3n, nowMs - 120_000), []);
    const restarted = open();
    clock.advance(119_999);
    assert.deepEqual(await missing(3n, START_MS, restarted), ['n0']);
    clock.advance(1);
    assert.deepEqual(await missing(3n, START_MS, restarted), []);
    const late = agentRecord('n9', {
      attestedAtSeconds: clock.nowMs() / 1000,
      expiresAtSeconds: 2e9,
    });
    const write = { agent: late, aliasEntry: undefined, joinTokenAnswer: undefined };
    unwrap(await registry.recordAttestation(write));
    assert.deepEqual(await missing(3n, START_MS, restarted), ['n9']);
  });

  it('wait for nobody who is banned or whose SVID has ended', async (context) => {
    const ends = START_SECONDS + 3600;
    const { acks, missing, clock } = await world(context, [
      { banned: true },
      { expiresAtSeconds: ends - 1 },
      { expiresAtSeconds: ends },
      { expiresAtSeconds: ends - 1, newSerial: '2', newExpiresAtSeconds: ends },
    ]);
    for (const name of ['n0', 'n1', 'n2', 'n3']) acks.connected(agent(name));
    assert.equal(clock.nowMs(), ends * 1000);
    assert.deepEqual(await missing(), ['n2', 'n3']);
  });

  it('outlive the process, and are those of every server', async (context) => {
    const { acks, missing, clock, open } = await world(context);
    acks.acked(agent('n0'), 3n);
    const done = written(acks);
    clock.advance(100);
    await done;
    assert.deepEqual(await missing(3n, clock.nowMs(), open()), []);
    assert.deepEqual(await missing(4n, clock.nowMs(), open()), ['n0']);
  });

  it('are written when they close', async (context) => {
    const { acks, store } = await world(context);
    acks.acked(agent('n0'), 3n);
    await acks.close();
    assert.equal(unwrap(await store.loadBundleAcks())[0]?.sequence, 3n);
  });

  it('believe the server that heard an agent last', async (context) => {
    const { acks, missing, store, clock } = await world(context);
    acks.connected(agent('n0'))();
    acks.acked(agent('n0'), 2n);
    const elsewhere = { agentId: agent('n0').uri, sequence: 3n, heardAtMs: clock.nowMs() + 1 };
    unwrap(await store.recordBundleAcks([elsewhere]));
    assert.deepEqual(await missing(), []);
    unwrap(await store.recordBundleAcks([{ ...elsewhere, sequence: 1n }]));
    assert.deepEqual(await missing(), ['n0']);
  });

  it('keep telling other servers of an agent that is connected and behind, and then no more', async (context) => {
    const { acks, store, clock, publish } = await world(context);
    acks.connected(agent('n0'));
    await publish();
    const publishedMs = clock.nowMs();
    clock.advance(100);
    for (const round of [1, 2, 3]) {
      const done = written(acks);
      clock.advance(30_000);
      await done;
      const [kept] = unwrap(await store.loadBundleAcks());
      assert.equal(kept?.heardAtMs, publishedMs + round * 30_000);
    }
    const done = written(acks);
    acks.acked(agent('n0'), 4n);
    clock.advance(100);
    await done;
    const [last] = unwrap(await store.loadBundleAcks());
    clock.advance(HOUR_MS);
    assert.deepEqual(unwrap(await store.loadBundleAcks()), [last]);
  });

  it('write again what the store did not take', async (context) => {
    const { store, registry, clock } = await world(context);
    let refuse = true;
    const faults: string[] = [];
    const acks = new BundleAcks({
      registry,
      clock,
      store: {
        loadBundleAcks: () => store.loadBundleAcks(),
        recordBundleAcks: async (list) =>
          refuse ? fail('STORE_FULL', 'no space left') : store.recordBundleAcks(list),
      },
      onFault: ({ code }) => faults.push(code),
    });
    acks.acked(agent('n0'), 3n);
    const done = written(acks);
    clock.advance(100);
    await done;
    assert.deepEqual(faults, ['STORE_FULL']);
    refuse = false;
    await acks.close();
    assert.equal(unwrap(await store.loadBundleAcks())[0]?.sequence, 3n);
  });
});
