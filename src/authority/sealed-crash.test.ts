import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryAuthorityStore, makeAuthorities } from '../../test/support/issuance.ts';
import { Killer } from '../../test/support/killer.ts';
import { sealingWorld } from '../../test/support/sealing.ts';
import { unwrap } from '../base/result.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import { openSealedKeys, type SealedStore } from '../keys/sealed/sealed-keys.ts';
import type { KeyWrapper } from '../keys/wrapper.ts';
import { decodeJournal } from './journal.ts';

/** What outlives the process: the KMS, the database, and the keys of X.509 authorities. */
function newWorld() {
  const sealing = sealingWorld();
  return { ...sealing, journal: new MemoryAuthorityStore(), x509Keys: createMemoryKeyManager() };
}

type World = ReturnType<typeof newWorld>;

/** A process on that world, which the killer may end at each durable step of its sealed keys. */
async function startOn(world: World, killer: Killer) {
  const { wrapper, store, journal, clock } = world;
  const mortalWrapper: KeyWrapper = {
    wrap: (...args) => killer.around(() => wrapper.wrap(...args)),
    unwrap: wrapper.unwrap,
    current: wrapper.current,
    rotate: wrapper.rotate,
  };
  const mortalStore: SealedStore = {
    loadSealedKeys: store.loadSealedKeys,
    writeSealedKey: (write) => killer.around(() => store.writeSealedKey(write)),
  };
  const options = { ...world.options, wrapper: mortalWrapper, store: mortalStore };
  const jwtKeys = unwrap(await openSealedKeys(options));
  const authorities = makeAuthorities({
    clock,
    keys: world.x509Keys,
    jwtKeys,
    store: {
      loadJournal: journal.loadJournal,
      commitAuthorities: (write) => killer.around(() => journal.commitAuthorities(write)),
    },
  });
  unwrap(await authorities.start());
  return { authorities, jwtKeys };
}

/** First start and one rotation of the JWT key; answers whether it was killed. */
async function live(world: World, killer: Killer): Promise<boolean> {
  const lived = (async () => {
    const { authorities, jwtKeys } = await startOn(world, killer);
    const { authorityId } = unwrap(await authorities.prepare('jwt'));
    unwrap(await authorities.activate('jwt', authorityId, { force: true }));
    await authorities.close();
    await jwtKeys.close();
    return false;
  })();
  const killed = killer.died.promise.then(() => true);
  return Promise.race([killed, lived]);
}

function activeJwtKeys(world: World): number {
  const entries = unwrap(decodeJournal(world.journal.journal));
  return entries.filter(({ kind, state }) => kind === 'jwt' && state === 'active').length;
}

/** Before and after each of 2 wrappings, 2 writes of keys and 5 commits of the journal. */
const STEPS = 18;

for (let step = 1; step <= STEPS; step++) {
  test(`A1 kill -9 at step ${step} leaves one active JWT key, and no key that piles up`, async () => {
    const world = newWorld();
    assert.equal(await live(world, new Killer(step)), true);
    const again = await startOn(world, new Killer(Infinity));
    assert.equal(activeJwtKeys(world), 1);
    const { key } = unwrap(again.authorities.currentJwt());
    assert.ok(again.jwtKeys.list().some((each) => each.slot === key.slot));
    assert.ok(world.store.rows.size <= 2, 'the two slots and no more');
    assert.equal(world.wrapper.made, 1, 'one wrapping key');
    await again.authorities.close();
    await again.jwtKeys.close();
  });
}

test('A1 the steps above are all there are', async () => {
  assert.equal(await live(newWorld(), new Killer(STEPS + 1)), false);
});
