import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AuthorityStore,
  MemoryAuthorityStore,
  makeAuthorities,
  startAuthorities,
} from '../../test/support/issuance.ts';
import { Killer } from '../../test/support/killer.ts';
import { equalBytes } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, unwrap } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import type { AuthorityManager } from './authority.ts';
import { decodeJournal } from './journal.ts';
import { KIND_RULES } from './kinds.ts';

const HOUR_MS = 3_600_000;

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
      release: async (slot: string) => {
        await killer.step();
        const released = await keys.release(slot);
        await killer.step();
        return released;
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
  for (const entry of entries) {
    const inBundle = KIND_RULES[entry.kind].isPublished(store.bundle!, entry);
    assert.equal(inBundle, entry.state !== 'revoked', `I5 ${entry.state} in the bundle`);
    if (entry.state !== 'published' && entry.state !== 'active') continue;
    const key = keys.get(entry.slot);
    assert.ok(equalBytes(key!.publicKeySpki, Buffer.from(entry.publicKey, 'base64')));
  }
  for (const { x509Authorities, jwtAuthorities } of [store.bundle!]) {
    const listed = x509Authorities.length + jwtAuthorities.length;
    const known = entries.filter(({ state }) => state !== 'revoked').length;
    assert.equal(listed, known, 'the bundle holds what the journal names and nothing else');
  }
  for (const key of keys.list()) {
    const spki = Buffer.from(key.publicKeySpki).toString('base64');
    const owner = entries.find((entry) => entry.publicKey === spki);
    assert.ok(owner, `no orphan key in ${key.slot}`);
    assert.ok(!['revoked', 'expired'].includes(owner.state), `${owner.state} keeps no key`);
  }
}

type World = ReturnType<typeof newWorld>;

/** Goes through part of a life. */
type Life = (authorities: AuthorityManager, world: World) => Promise<void>;

/** First start; prepare, publish, activate, expire, and a successor again: all on time. */
const byTime: Life = async (authorities, { clock, store }) => {
  unwrap(await authorities.start());
  for (const [hours, version] of [
    [12, 6n],
    [8, 8n],
    [4, 14n],
  ] as const) {
    clock.advance(hours * HOUR_MS);
    await store.reached(version);
  }
};

/** The same by an operator, to the end of what was active. */
const byHand: Life = async (authorities) => {
  for (const kind of ['x509', 'jwt'] as const) {
    const old = authorities.list(kind).find(({ state }) => state === 'active')!;
    unwrap(await authorities.prepare(kind));
    // In place of the one before, which nobody used.
    const { authorityId } = unwrap(await authorities.prepare(kind));
    unwrap(await authorities.activate(kind, authorityId, { force: false }));
    unwrap(await authorities.taint(kind, old.authorityId));
    unwrap(await authorities.revoke(kind, old.authorityId));
  }
};

/** Runs a life that may be killed; answers whether it was. */
async function live(killer: Killer, world: World, life: Life): Promise<boolean> {
  const { clock, store } = world;
  const authorities = makeAuthorities({ clock, ...mortal(world.keys, store, killer) });
  const killed = killer.died.promise.then(() => true);
  const lived = life(authorities, world).then(async () => {
    await authorities.close();
    return false;
  });
  return Promise.race([killed, lived]);
}

function newWorld() {
  return {
    clock: new ManualClock(Date.UTC(2026, 0, 1)),
    keys: createMemoryKeyManager(),
    store: new MemoryAuthorityStore(),
  };
}

/** Lives, and the durable steps of each: before and after each key, commit and key given up. */
const LIVES: readonly (readonly [string, Life, number])[] = [
  // 6 keys; 2 first commits, then prepare, publish, activate and expire, prepare, publish of each.
  ['a life on time', byTime, 2 * (6 + 2 + 2 * 3 + 2 * 3)],
  [
    'acts of an operator',
    async (authorities, world) => {
      unwrap(await authorities.start());
      await byHand(authorities, world);
    },
    // First 2 keys and commits; 2 keys, 4 commits to publish, activate, taint, revoke, release.
    2 * (4 + 2 * (2 + 4 + 3 + 1)),
  ],
];

for (const [name, life, steps] of LIVES) {
  for (let step = 1; step <= steps; step++) {
    test(`A1 kill -9 at durable step ${step} of ${name} leaves one active authority and no orphan`, async () => {
      const world = newWorld();
      assert.equal(await live(new Killer(step), world, life), true);
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
      checkWorld(world.keys, world.store);
      await third.close();
    });
  }

  test(`A1 the steps of ${name} above are all there are`, async () => {
    assert.equal(await live(new Killer(steps + 1), newWorld(), life), false);
  });
}

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
