import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryAuthorityStore, makeAuthorities, SILENT } from '../../test/support/issuance.ts';
import { Fleet } from '../../test/support/propagation.ts';
import { sealingWorld } from '../../test/support/sealing.ts';
import { ManualClock } from '../base/clock.ts';
import { unwrap } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import { createMovedKeys } from '../keys/moved-keys.ts';
import { openSealedKeys } from '../keys/sealed/sealed-keys.ts';

const HOUR_MS = 3_600_000;

/** An installation whose key manager keeps JWT keys, or has them sealed, from start to start. */
async function world() {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const keys = createMemoryKeyManager();
  const sealed = unwrap(await openSealedKeys(sealingWorld().options));
  const store = new MemoryAuthorityStore();
  const start = async (current: KeyManager, fleet: Fleet) => {
    const former = current === keys ? sealed : keys;
    const jwtKeys = createMovedKeys({ current, former, log: SILENT });
    const authorities = makeAuthorities({ keys, jwtKeys, store, clock, propagation: fleet });
    unwrap(await authorities.start());
    const states = () => authorities.list('jwt').map(({ state }) => state);
    return { authorities, states, signer: () => unwrap(authorities.currentJwt()) };
  };
  return { clock, keys, sealed, store, start };
}

for (const [name, from, to] of [
  ['direct to sealed', 'keys', 'sealed'],
  ['sealed to direct', 'sealed', 'keys'],
] as const) {
  test(`I5 from ${name}: the old key signs until agents have the bundle with the new one`, async () => {
    const here = await world();
    const fleet = new Fleet();
    const before = await here.start(here[from], fleet);
    const old = before.signer();
    const root = unwrap(before.authorities.currentX509()).authorityId;
    await before.authorities.close();
    fleet.leaves('spiffe://example.org/spire/agent/join_token/1');
    const after = await here.start(here[to], fleet);
    assert.deepEqual(after.states(), ['active', 'published']);
    assert.equal(after.signer().keyId, old.keyId);
    assert.equal(here[to].list().filter(({ slot }) => slot.startsWith('JWT')).length, 1);
    const bundled = after.authorities.bundle()?.jwtAuthorities.map(({ keyId }) => keyId);
    assert.equal(bundled?.length, 2);
    const { version } = here.store;
    fleet.leaves();
    await here.store.reached(version + 1n);
    assert.deepEqual(after.states(), ['old', 'active']);
    assert.notEqual(after.signer().keyId, old.keyId);
    assert.ok(bundled?.includes(after.signer().keyId));
    assert.equal(unwrap(after.authorities.currentX509()).authorityId, root, 'the root stays');
    await after.authorities.close();
  });
}

test('a restart before agents have it goes on waiting, with the same new key', async () => {
  const here = await world();
  const fleet = new Fleet();
  await (await here.start(here.keys, fleet)).authorities.close();
  fleet.leaves('a');
  const first = await here.start(here.sealed, fleet);
  const published = first.authorities.list('jwt').map(({ authorityId }) => authorityId);
  await first.authorities.close();
  const second = await here.start(here.sealed, fleet);
  assert.deepEqual(second.states(), ['active', 'published']);
  const again = second.authorities.list('jwt').map(({ authorityId }) => authorityId);
  assert.deepEqual(again, published);
  await second.authorities.close();
});

test('a change that is taken back before agents have it leaves the old key in its place', async () => {
  const here = await world();
  const fleet = new Fleet();
  const before = await here.start(here.keys, fleet);
  const old = before.signer().keyId;
  await before.authorities.close();
  fleet.leaves('a');
  await (await here.start(here.sealed, fleet)).authorities.close();
  const back = await here.start(here.keys, fleet);
  assert.equal(back.signer().keyId, old);
  await back.authorities.close();
});

test('keys that were left behind are given up when their slot has another', async () => {
  const here = await world();
  const fleet = new Fleet();
  await (await here.start(here.keys, fleet)).authorities.close();
  const moved = await here.start(here.sealed, fleet);
  assert.deepEqual(moved.states(), ['old', 'active']);
  assert.ok(here.keys.get('JWT-Signer-A'), 'nothing is given up before it must');
  const { version } = here.store;
  // Successors of both kinds are made and published at half of their life, in the slot of the one before.
  here.clock.advance(12 * HOUR_MS);
  await here.store.reached(version + 4n);
  assert.equal(here.keys.get('JWT-Signer-A'), undefined);
  assert.ok(here.sealed.get('JWT-Signer-A'));
  await moved.authorities.close();
});
