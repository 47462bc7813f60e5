import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  agentRecord,
  id,
  openState,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../test/support/state.ts';
import type { ErrorCode } from '../base/errors.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import type { Store } from '../store/store.ts';
import type { KeptBanEvent } from './ban-keeper.ts';
import { openLocalBans } from './local-bans.ts';
import { createRegistry, type Registry } from './registry.ts';

const AGENT = id('/spire/agent/a');
const none = { aliasEntry: undefined, joinTokenAnswer: undefined };

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

/** A store that refuses, or swallows, what the test says, over a real one. */
class FaultyStore {
  readonly real: Store;
  refusal: ErrorCode | undefined;
  hanging = false;
  feedFails = false;
  bansAsked = 0;

  constructor(real: Store) {
    this.real = real;
  }

  asStore(): Store {
    return new Proxy(this.real, {
      get: (real, name) => {
        const method: unknown = Reflect.get(real, name);
        if (typeof method !== 'function') return method;
        return (...args: unknown[]) => {
          if (name === 'onWake') return Reflect.apply(method, real, args);
          if (name === 'changeAgent') this.bansAsked++;
          if (name === 'changesAfter' || name === 'loadSnapshot') {
            if (this.feedFails) return Promise.resolve(fail('STORE_IO', 'planted'));
            return Reflect.apply(method, real, args);
          }
          if (this.hanging) return new Promise(() => {});
          if (this.refusal !== undefined) return Promise.resolve(fail(this.refusal, 'planted'));
          return Reflect.apply(method, real, args);
        };
      },
    });
  }
}

/** A registry over such a store, with one agent in it. */
async function faulty(context: TestContext) {
  const { store: real, clock, random, registry: first } = await openState(context);
  unwrap(await first.recordAttestation({ agent: agentRecord('a'), ...none }));
  const store = new FaultyStore(real);
  const folder = join(await temporaryFolder(context), 'data');
  mkdirSync(folder);
  const path = join(folder, 'local-bans');
  const events: KeptBanEvent[] = [];
  const heard = Promise.withResolvers<void>();
  const start = async (): Promise<Registry> => {
    const registry = unwrap(
      await createRegistry({
        store: store.asStore(),
        trustDomain: TRUST_DOMAIN,
        clock,
        random,
        localBans: unwrap(await openLocalBans(path)),
        onKeptBan: (event) => {
          events.push(event);
          if (event.kind !== 'failed') heard.resolve();
        },
      }),
    );
    context.after(() => registry.close());
    return registry;
  };
  const kept = (): string => readFileSync(path, 'utf8').split('\n').slice(1).join('');
  const stored = async () =>
    unwrap(await real.loadSnapshot()).agents.find((agent) => agent.id.uri === AGENT.uri)?.banned;
  return { store, clock, folder, events, heard: heard.promise, start, kept, stored };
}

for (const refusal of [
  'STORE_UNAVAILABLE',
  'STORE_FULL',
  'STORE_IO',
  'STORE_LOCKED',
  'STORE_READ_ONLY',
] as const) {
  test(`a ban that the store refuses with ${refusal} is in force here at once and kept`, async (context) => {
    const { store, start, kept, stored } = await faulty(context);
    const registry = await start();
    let woken = 0;
    const stream = registry.subscribe(AGENT, () => woken++);
    stream.take();
    store.refusal = refusal;
    assert.equal(unwrap(await registry.banAgent(AGENT, true)), 'here');
    assert.equal(registry.agent(AGENT)?.banned, true);
    assert.deepEqual([woken, stream.take()?.agent?.banned], [1, true]);
    assert.deepEqual([kept(), await stored()], [AGENT.uri, false]);
  });
}

test('a store that does not answer holds a ban up for two seconds, no longer', async (context) => {
  const { store, clock, start, kept } = await faulty(context);
  const registry = await start();
  store.hanging = true;
  const banning = registry.banAgent(AGENT, true);
  clock.advance(1_999);
  assert.equal(registry.agent(AGENT)?.banned, false);
  clock.advance(1);
  assert.equal(unwrap(await banning), 'here');
  assert.deepEqual([registry.agent(AGENT)?.banned, kept()], [true, AGENT.uri]);
});

test('a ban that the store takes leaves nothing behind, also where it was kept before', async (context) => {
  const { store, start, kept, folder, stored } = await faulty(context);
  const registry = await start();
  assert.equal(unwrap(await registry.banAgent(AGENT, true)), 'everywhere');
  assert.throws(() => readFileSync(join(folder, 'local-bans')), /ENOENT/);
  store.refusal = 'STORE_IO';
  assert.equal(unwrap(await registry.banAgent(AGENT, true)), 'everywhere', 'it is there already');
  assert.throws(() => kept(), /ENOENT/);
  assert.equal(await stored(), true);
});

test('the ban is written as soon as the store answers, then its record goes', async (context) => {
  const { store, clock, start, kept, stored, events, heard } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await registry.banAgent(AGENT, true));
  store.refusal = undefined;
  clock.advance(500);
  await heard;
  assert.deepEqual(events.at(-1)?.kind, 'written');
  assert.equal(await stored(), true);
  // The event comes before the file is let go of: closing waits for that.
  await registry.close();
  assert.equal(kept(), '');
  assert.equal(registry.agent(AGENT)?.banned, true);
});

test('any commit is reason to try at once', async (context) => {
  const { store, start, stored, heard } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await registry.banAgent(AGENT, true));
  store.refusal = undefined;
  const other = { agent: agentRecord('b'), ...none };
  unwrap(await registry.recordAttestation(other));
  await heard;
  assert.equal(await stored(), true);
});

test('attempts that fail come ever more slowly, at most every 30 seconds', async (context) => {
  const { store, clock, start, events } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await registry.banAgent(AGENT, true));
  const waits: number[] = [];
  for (let round = 0; round < 12; round++) {
    clock.advance(30_000);
    await new Promise(setImmediate);
    const last = events.at(-1);
    if (last?.kind === 'failed') waits.push(last.retryMs);
  }
  assert.ok(waits.length >= 10);
  assert.ok(waits.every((wait) => wait >= 125 && wait <= 30_000));
  assert.ok(waits.slice(-3).every((wait) => wait >= 15_000));
});

test('a crash between file and store: the next start bans before it serves, and writes it', async (context) => {
  const { store, start, kept, stored } = await faulty(context);
  const before = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await before.banAgent(AGENT, true));
  await before.close();
  const still = await start();
  assert.equal(still.agent(AGENT)?.banned, true, 'the store refuses still');
  assert.deepEqual([kept(), await stored()], [AGENT.uri, false]);
  await still.close();
  store.refusal = undefined;
  const after = await start();
  assert.equal(after.agent(AGENT)?.banned, true);
  assert.deepEqual([kept(), await stored()], ['', true]);
});

test('a write under way when the ban came does not bring the agent back', async (context) => {
  const { store, start } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await registry.banAgent(AGENT, true));
  store.refusal = undefined;
  store.feedFails = true;
  const change = { kind: 'renewed', newSerial: '2', newExpiresAtSeconds: 1 } as const;
  assert.equal(unwrap(await registry.changeAgent(AGENT, change))?.banned, true);
  const agent = agentRecord('a', { serial: '9' });
  assert.equal(codeOf(await registry.recordAttestation({ agent, ...none })), 'AGENT_BANNED');
  const [stored] = unwrap(await store.real.loadSnapshot()).agents;
  assert.equal(stored?.serial, '1', 'and nothing was written');
});

test('a ban that the view cannot learn from the store is in force all the same', async (context) => {
  const { store, start } = await faulty(context);
  const registry = await start();
  store.feedFails = true;
  assert.equal(unwrap(await registry.banAgent(AGENT, true)), 'here');
  assert.equal(registry.agent(AGENT)?.banned, true);
});

test('deleting the agent lifts its ban', async (context) => {
  const { store, start, kept } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_UNAVAILABLE';
  unwrap(await registry.banAgent(AGENT, true));
  store.refusal = undefined;
  assert.equal(unwrap(await registry.deleteAgent(AGENT)), true);
  await registry.close();
  assert.equal(kept(), '');
  const after = await start();
  unwrap(await after.recordAttestation({ agent: agentRecord('a'), ...none }));
  assert.equal(after.agent(AGENT)?.banned, false);
});

test('without the right to ban here, and for agents that are not there, the store decides', async (context) => {
  const { store, start, kept } = await faulty(context);
  const registry = await start();
  const unknown = id('/spire/agent/unknown');
  assert.equal(unwrap(await registry.banAgent(unknown, true)), undefined);
  store.refusal = 'STORE_UNAVAILABLE';
  assert.equal(codeOf(await registry.banAgent(AGENT, false)), 'STORE_UNAVAILABLE');
  assert.equal(codeOf(await registry.banAgent(unknown, true)), 'STORE_UNAVAILABLE');
  assert.equal(registry.agent(AGENT)?.banned, false);
  assert.throws(() => kept(), /ENOENT/);
});

test('a ban that cannot be kept either is in force, says so, and is kept when there is room', async (context) => {
  const { store, clock, start, folder, kept } = await faulty(context);
  const registry = await start();
  store.refusal = 'STORE_FULL';
  rmSync(folder, { recursive: true });
  assert.equal(codeOf(await registry.banAgent(AGENT, true)), 'BAN_NOT_KEPT');
  assert.equal(registry.agent(AGENT)?.banned, true);
  mkdirSync(folder);
  clock.advance(500);
  await registry.close();
  assert.equal(kept(), AGENT.uri);
});
