import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  MemoryAuthorityStore,
  makeAuthorities,
  startAuthorities,
  TRUST_DOMAIN,
} from '../../test/support/issuance.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import { checkCaProfile } from '../spiffe/x509-profile.ts';
import { decodeJournal, encodeJournal } from './journal.ts';

const START_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** Clock, keys and store of one server; managers come and go. */
function server() {
  return {
    clock: new ManualClock(START_MS),
    keys: createMemoryKeyManager(),
    store: new MemoryAuthorityStore(),
  };
}

const states = (store: MemoryAuthorityStore, kind: 'x509' | 'jwt') =>
  unwrap(decodeJournal(store.journal))
    .filter((entry) => entry.kind === kind)
    .map((entry) => entry.state);

describe('authority manager', () => {
  test('has nothing to sign with before it started', () => {
    const authorities = makeAuthorities();
    assert.equal(code(authorities.currentX509()), 'AUTHORITY_NOT_READY');
    assert.equal(code(authorities.currentJwt()), 'AUTHORITY_NOT_READY');
    assert.equal(authorities.bundle(), undefined);
  });

  test('I5 has both kinds active and published when start answers', async () => {
    const { store, ...rest } = server();
    const authorities = await startAuthorities({ store, ...rest });
    const { certificate } = unwrap(authorities.currentX509());
    const { keyId } = unwrap(authorities.currentJwt());
    assert.deepEqual(store.bundle?.x509Authorities[0]?.certificate.der, certificate.der);
    assert.equal(store.bundle?.jwtAuthorities[0]?.keyId, keyId);
    assert.equal(authorities.bundle()?.sequence, store.bundle?.sequence);
    await authorities.close();
  });

  for (const x509KeyType of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    test(`X509-13 X509-16 makes a self-signed ${x509KeyType} root of SPIRE's form`, async () => {
      const authorities = await startAuthorities({ x509KeyType, ...server() });
      const { certificate, authorityId } = unwrap(authorities.currentX509());
      assert.equal(code(checkCaProfile(certificate, TRUST_DOMAIN)), 'ok');
      assert.equal(certificate.subjectAltName?.names[0]?.kind, 'uri');
      assert.equal(certificate.authorityKeyId, undefined);
      assert.equal(Buffer.from(certificate.subjectKeyId!).toString('hex'), authorityId);
      const openssl = new X509Certificate(certificate.der);
      assert.ok(openssl.ca && openssl.verify(openssl.publicKey));
      const serial = BigInt(`0x${openssl.serialNumber}`).toString();
      assert.equal(openssl.subject, `C=US\nO=SPIFFE\nserialNumber=${serial}`);
      assert.equal(certificate.notBeforeMs, START_MS - 60_000);
      assert.equal(certificate.notAfterMs, START_MS + 24 * HOUR_MS);
      await authorities.close();
    });
  }

  test('A.5 prepares at half, activates at five sixths, prunes a day after the end', async () => {
    const { clock, store, keys } = server();
    const authorities = await startAuthorities({ clock, store, keys });
    const first = unwrap(authorities.currentX509()).authorityId;
    assert.equal(store.version, 2n);

    clock.advance(12 * HOUR_MS - 1);
    await store.reached(2n);
    assert.equal(store.version, 2n);
    clock.advance(1);
    await store.reached(6n);
    assert.deepEqual(states(store, 'x509'), ['active', 'published']);
    assert.deepEqual(states(store, 'jwt'), ['active', 'published']);
    assert.equal(store.bundle?.x509Authorities.length, 2);
    assert.equal(store.bundle?.jwtAuthorities.length, 2);
    assert.equal(unwrap(authorities.currentX509()).authorityId, first);

    let changes = 0;
    authorities.onChange(() => (changes += 1));
    clock.advance(8 * HOUR_MS - 1);
    await store.reached(6n);
    assert.equal(store.version, 6n);
    clock.advance(1);
    await store.reached(8n);
    assert.deepEqual(states(store, 'x509'), ['old', 'active']);
    assert.notEqual(unwrap(authorities.currentX509()).authorityId, first);
    assert.equal(unwrap(authorities.currentX509()).key.slot, 'x509-CA-B');
    assert.equal(changes, 1);

    // From here on a pair every 12 h, as the one before expires; the first leaves 24 h after its end.
    const listed = () =>
      store.bundle?.x509Authorities.some(
        ({ certificate }) => Buffer.from(certificate.subjectKeyId!).toString('hex') === first,
      );
    const steps: readonly [number, bigint][] = [
      [4, 14n],
      [8, 16n],
      [4, 22n],
      [8, 24n],
    ];
    for (const [hours, version] of steps) {
      clock.advance(hours * HOUR_MS);
      await store.reached(version);
      assert.equal(store.version, version);
    }
    clock.advance(4 * HOUR_MS - 1);
    assert.equal(listed(), true);
    assert.ok(states(store, 'x509').includes('expired'));
    clock.advance(1);
    await store.reached(30n);
    assert.equal(listed(), false);
    await authorities.close();
  });

  test('raises the bundle sequence with each change of the bundle, and only then', async () => {
    const { clock, store, keys } = server();
    const authorities = await startAuthorities({ clock, store, keys });
    assert.equal(store.bundle?.sequence, 2n);
    clock.advance(12 * HOUR_MS);
    await store.reached(6n);
    assert.equal(store.bundle?.sequence, 4n);
    clock.advance(8 * HOUR_MS);
    await store.reached(8n);
    assert.equal(store.bundle?.sequence, 4n);
    await authorities.close();
  });

  test('goes on with the same authorities after a restart, and writes nothing', async () => {
    const world = server();
    const before = await startAuthorities(world);
    await before.close();
    world.clock.advance(HOUR_MS);
    const after = await startAuthorities(world);
    assert.deepEqual(
      unwrap(after.currentX509()).certificate.der,
      unwrap(before.currentX509()).certificate.der,
    );
    assert.equal(unwrap(after.currentJwt()).keyId, unwrap(before.currentJwt()).keyId);
    assert.equal(world.store.version, 2n);
    await after.close();
  });

  test('A.5 makes new authorities where the keys are gone, and leaves the old in the bundle', async () => {
    const world = server();
    const before = await startAuthorities(world);
    await before.close();
    const after = await startAuthorities({ ...world, keys: createMemoryKeyManager() });
    const old = unwrap(before.currentX509()).authorityId;
    assert.notEqual(unwrap(after.currentX509()).authorityId, old);
    assert.equal(world.store.bundle?.x509Authorities.length, 2);
    assert.deepEqual(states(world.store, 'x509'), ['old', 'active']);
    await after.close();
  });

  test('A.5 gives up an authority that is not in the bundle', async () => {
    const world = server();
    await (await startAuthorities(world)).close();
    world.store.bundle = { ...world.store.bundle!, x509Authorities: [] };
    const after = await startAuthorities(world);
    assert.equal(world.store.bundle?.x509Authorities.length, 1);
    assert.deepEqual(
      world.store.bundle?.x509Authorities[0]?.certificate.der,
      unwrap(after.currentX509()).certificate.der,
    );
    assert.deepEqual(states(world.store, 'jwt'), ['active']);
    await after.close();
  });

  test('gives up an authority whose slot holds another key', async () => {
    const world = server();
    const before = await startAuthorities(world);
    await before.close();
    await world.keys.generate('x509-CA-A', 'ec-p256');
    const after = await startAuthorities(world);
    const { key, certificate } = unwrap(after.currentX509());
    assert.deepEqual(certificate.publicKey.spki, new Uint8Array(key.publicKeySpki));
    await after.close();
  });

  test('catches up after days without a server: publishes first, then activates', async () => {
    const world = server();
    const before = await startAuthorities(world);
    await before.close();
    world.clock.advance(72 * HOUR_MS);
    assert.equal(code(before.currentX509()), 'AUTHORITY_EXPIRED');
    const after = await startAuthorities(world);
    assert.equal(code(after.currentX509()), 'ok');
    // What ended more than a day ago left the bundle.
    assert.equal(world.store.bundle?.x509Authorities.length, 1);
    await after.close();
  });

  test('refuses to start on a journal that it cannot read', async () => {
    const world = server();
    world.store.journal = Buffer.from('{');
    const started = await makeAuthorities(world).start();
    assert.equal(code(started), 'AUTHORITY_JOURNAL_CORRUPT');
  });

  test('tries again after a failure, with the active authority in force meanwhile', async () => {
    const world = server();
    const authorities = await startAuthorities(world);
    const { commitAuthorities } = world.store;
    let refused = 0;
    const failing = Promise.withResolvers<void>();
    world.store.commitAuthorities = async () => {
      refused += 1;
      if (refused === 2) failing.resolve();
      return fail('STORE_FULL', 'no space left');
    };
    world.clock.advance(12 * HOUR_MS);
    await failing.promise;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(code(authorities.currentX509()), 'ok');
    world.store.commitAuthorities = commitAuthorities;
    world.clock.advance(1000);
    await world.store.reached(6n);
    assert.equal(refused, 2, 'once for each kind');
    assert.deepEqual(states(world.store, 'x509'), ['active', 'published']);
    await authorities.close();
  });

  test('what stops one kind does not stop the other', async () => {
    const world = server();
    const { generate } = world.keys;
    const keys = {
      ...world.keys,
      generate: async (slot: string, type: 'ec-p256') =>
        slot === 'x509-CA-B' ? fail('KEY_GENERATE_FAILED', 'no') : generate(slot, type),
    };
    const authorities = await startAuthorities({ ...world, keys });
    world.clock.advance(12 * HOUR_MS);
    await world.store.reached(4n);
    assert.deepEqual(states(world.store, 'x509'), ['active']);
    assert.deepEqual(states(world.store, 'jwt'), ['active', 'published']);
    await authorities.close();
  });

  test('A4 the loser of a compare-and-swap reads the winner’s journal and goes on from it', async () => {
    const world = server();
    const one = await startAuthorities(world);
    const two = await startAuthorities(world);
    world.clock.advance(12 * HOUR_MS);
    await world.store.reached(6n);
    await Promise.all([one.close(), two.close()]);
    const third = await startAuthorities(world);
    for (const kind of ['x509', 'jwt'] as const) {
      assert.equal(states(world.store, kind).filter((state) => state === 'active').length, 1);
      assert.ok(states(world.store, kind).filter((state) => state === 'published').length <= 1);
    }
    await third.close();
  });

  test('C4 does not act at once on a life longer than one timer', async () => {
    const world = server();
    const authorities = await startAuthorities({ ...world, ttlSeconds: 365 * 86_400 });
    world.clock.advance(300 * 24 * HOUR_MS);
    await world.store.reached(2n);
    assert.equal(world.store.version, 2n);
    await authorities.close();
  });

  test('notices a wall clock that was set forward', async () => {
    const world = server();
    const authorities = await startAuthorities(world);
    world.clock.setWallClock(START_MS + 13 * HOUR_MS);
    world.clock.advance(HOUR_MS);
    await world.store.reached(6n);
    assert.deepEqual(states(world.store, 'x509'), ['active', 'published']);
    await authorities.close();
  });

  test('computes the refresh hint from the shortest life', async () => {
    const hints = [
      [60, 4],
      [3600, 240],
      [86_400, 300],
    ] as const;
    for (const [ttlSeconds, hint] of hints) {
      const authorities = await startAuthorities({ ...server(), ttlSeconds });
      assert.equal(authorities.bundle()?.refreshHintSeconds, hint);
      await authorities.close();
    }
  });

  test('forgets what the journal says of authorities that left the bundle', async () => {
    const world = server();
    await (await startAuthorities(world)).close();
    const [x509, jwt] = unwrap(decodeJournal(world.store.journal));
    const old = { ...x509!, state: 'old' as const, notAfterSeconds: START_MS / 1000 - 86_400 };
    world.store.journal = encodeJournal([old, x509!, jwt!]);
    const authorities = await startAuthorities(world);
    world.clock.advance(12 * HOUR_MS);
    await world.store.reached(6n);
    assert.deepEqual(states(world.store, 'x509'), ['active', 'published']);
    await authorities.close();
  });
});
