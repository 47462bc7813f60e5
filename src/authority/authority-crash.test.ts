import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AuthorityStore,
  MemoryAuthorityStore,
  makeAuthorities,
  startAuthorities,
} from '../../test/support/issuance.ts';
import { equalBytes } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, unwrap } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import { decodeJournal } from './journal.ts';
import { KIND_RULES } from './kinds.ts';

const HOUR_MS = 3_600_000;

/** Kills the process at its n-th durable step: what was called never answers. */
class Killer {
  readonly died = Promise.withResolvers<void>();
  #left: number;

  constructor(steps: number) {
    this.#left = steps;
  }

  /** Goes on, or never answers. */
  async step(): Promise<void> {
    this.#left -= 1;
    if (this.#left === 0) this.died.resolve();
    if (this.#left <= 0) await new Promise(() => {});
  }
}

/** Keys and store that die before or after each durable act. */
function mortal(keys: KeyManager, store: AuthorityStore, killer: Killer) {
  return {
    keys: {
      ...keys,
      generate: async (...args: Parameters<KeyManager['generate']>) => {
        await killer.step();
        const made = await keys.generate(...args);
        await killer.step();
        return made;
      },
    },
    store: {
      loadJournal: store.loadJournal,
      commitAuthorities: async (write: Parameters<AuthorityStore['commitAuthorities']>[0]) => {
        await killer.step();
        const written = await store.commitAuthorities(write);
        await killer.step();
        return written;
      },
    },
  };
}

/** What must hold after every restart. */
function checkWorld(keys: KeyManager, store: MemoryAuthorityStore): void {
  const entries = unwrap(decodeJournal(store.journal));
  for (const kind of ['x509', 'jwt'] as const) {
    const active = entries.filter((entry) => entry.kind === kind && entry.state === 'active');
    assert.equal(active.length, 1, `one active ${kind} authority`);
  }
  for (const entry of entries.filter(({ state }) => state !== 'old')) {
    assert.ok(KIND_RULES[entry.kind].isPublished(store.bundle!, entry), 'I5 published');
    const key = keys.get(entry.slot);
    assert.ok(equalBytes(key!.publicKeySpki, Buffer.from(entry.publicKey, 'base64')));
  }
  for (const key of keys.list()) {
    const spki = Buffer.from(key.publicKeySpki).toString('base64');
    assert.ok(
      entries.some((entry) => entry.publicKey === spki),
      `no orphan key in ${key.slot}`,
    );
  }
}

/** Runs first start, prepare, activate and prepare again; answers whether it was killed. */
async function live(killer: Killer, world: ReturnType<typeof newWorld>): Promise<boolean> {
  const { clock, store } = world;
  const authorities = makeAuthorities({ clock, ...mortal(world.keys, store, killer) });
  const killed = killer.died.promise.then(() => true);
  const lived = (async () => {
    unwrap(await authorities.start());
    for (const [hours, version] of [
      [12, 4n],
      [8, 6n],
      [4, 8n],
    ] as const) {
      clock.advance(hours * HOUR_MS);
      await store.reached(version);
    }
    await authorities.close();
    return false;
  })();
  return Promise.race([killed, lived]);
}

function newWorld() {
  return {
    clock: new ManualClock(Date.UTC(2026, 0, 1)),
    keys: createMemoryKeyManager(),
    store: new MemoryAuthorityStore(),
  };
}

/** Durable steps of that life: before and after each of 6 keys and 8 commits. */
const STEPS = 28;

for (let step = 1; step <= STEPS; step++) {
  test(`A1 kill -9 at durable step ${step} leaves one active authority and no orphan`, async () => {
    const world = newWorld();
    assert.equal(await live(new Killer(step), world), true);
    const again = await startAuthorities(world);
    checkWorld(world.keys, world.store);
    const { certificate } = unwrap(again.currentX509());
    assert.ok(
      world.store.bundle?.x509Authorities.some((each) =>
        equalBytes(each.certificate.der, certificate.der),
      ),
    );
    await again.close();
    const { version } = world.store;
    const third = await startAuthorities(world);
    assert.equal(world.store.version, version, 'a second restart has nothing to do');
    await third.close();
  });
}

test('A1 the steps above are all there are', async () => {
  assert.equal(await live(new Killer(STEPS + 1), newWorld()), false);
});

test('A8 a commit whose reply was lost is found again, not made twice', async () => {
  const world = newWorld();
  const { commitAuthorities } = world.store;
  let lost = 0;
  world.store.commitAuthorities = async (write) => {
    const written = await commitAuthorities(write);
    lost += 1;
    return lost === 1 ? fail('INTERNAL', 'the connection ended') : written;
  };
  const authorities = makeAuthorities(world);
  assert.equal((await authorities.start()).ok, false);
  unwrap(await authorities.start());
  assert.equal(world.store.bundle?.x509Authorities.length, 1);
  checkWorld(world.keys, world.store);
  await authorities.close();
});
