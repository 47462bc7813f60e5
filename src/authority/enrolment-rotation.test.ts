import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EnrolmentWorld, enrolmentWorld } from '../../test/support/enrolment.ts';
import { Killer } from '../../test/support/killer.ts';
import { makeCertificate } from '../../test/support/x509.ts';
import { equalBytes } from '../base/bytes.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import type { KeptValueStore } from '../store/kept-values.ts';
import { decodeRoots, ENROLMENT_SLOT_PREFIX, encodeRoots } from './enrolment-root-record.ts';
import type { CaRecord } from './x509-certificate.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const NAME = 'enrolment-root';
const ADMIN = 'local:7';

/** Serial numbers by state, as a server that starts now sees them. */
async function standing(world: EnrolmentWorld) {
  const made = (await world.root()).made;
  const serial = (root: { certificate: { serialDecimal: string } } | undefined) =>
    root?.certificate.serialDecimal;
  return { active: serial(made?.active), next: serial(made?.next), old: made?.old.map(serial) };
}

const slots = (world: EnrolmentWorld) => world.keys.list().map(({ slot }) => slot);

test('a root is replaced in two steps: both are there, then the new one signs and the old key is gone', async () => {
  const world = enrolmentWorld();
  const root = await world.root();
  const first = unwrap(await root.ensure()).certificate;
  const [a, b] = await Promise.all([root.prepare(ADMIN), root.prepare(ADMIN)]);
  const next = unwrap(a);
  assert.ok(equalBytes(unwrap(b).der, next.der));
  assert.ok(!equalBytes(first.publicKey.spki, next.publicKey.spki));
  assert.ok(!equalBytes(first.subjectDer, next.subjectDer));
  assert.deepEqual(unwrap(await root.ensure()).certificate.serialDecimal, first.serialDecimal);
  assert.equal(world.keys.list().length, 2);
  const [said, now] = [next.serialDecimal, first.serialDecimal];
  assert.deepEqual(await standing(world), { active: now, next: said, old: [] });
  unwrap(await root.activate(said));
  assert.deepEqual(await standing(world), { active: said, next: undefined, old: [now] });
  const signer = unwrap(await (await world.root()).ensure());
  assert.ok(equalBytes(signer.key.publicKeySpki, next.publicKey.spki));
  assert.equal(world.keys.list().length, 1);
});

test('one that is not prepared, or another than the one said, does not sign', async () => {
  const world = enrolmentWorld();
  const root = await world.root();
  assert.equal(code(await root.activate('1')), 'ENROLMENT_ROOT_NEXT');
  assert.equal(world.store.values.size, 0);
  const { certificate } = unwrap(await root.ensure());
  assert.equal(code(await root.activate('1')), 'ENROLMENT_ROOT_NEXT');
  unwrap(await root.prepare(ADMIN));
  assert.equal(code(await root.activate('1')), 'ENROLMENT_ROOT_NEXT');
  assert.equal(code(await root.activate('')), 'ENROLMENT_ROOT_NEXT');
  assert.equal((await standing(world)).active, certificate.serialDecimal);
});

test('I2 a root that is prepared is on record with who asked, before it is signed', async () => {
  const world = enrolmentWorld();
  const records: CaRecord[] = [];
  let refuses = false;
  const root = await world.root({
    recordCa: async (record) => {
      records.push(record);
      return refuses ? fail('LEDGER_IO', 'the disk is full') : { ok: true, value: undefined };
    },
  });
  unwrap(await root.ensure());
  refuses = true;
  assert.equal(code(await root.prepare(ADMIN)), 'LEDGER_IO');
  assert.equal((await standing(world)).next, undefined);
  refuses = false;
  unwrap(await root.prepare(ADMIN));
  assert.deepEqual(
    records.map(({ purpose, requestedBy }) => [purpose, requestedBy]),
    [
      ['enrolment-root', 'self'],
      ['enrolment-root', ADMIN],
      ['enrolment-root', ADMIN],
    ],
  );
  // The key that the refusal left serves the next try.
  assert.equal(world.keys.list().length, 2);
});

test('heals after a crash before or after each durable act of a change, with nothing left over', async () => {
  for (let step = 1; step <= 8; step++) {
    const world = enrolmentWorld();
    const before = unwrap(await (await world.root()).ensure()).certificate;
    const killer = new Killer(step);
    const keys = {
      ...world.keys,
      generate: (...args: Parameters<typeof world.keys.generate>) =>
        killer.around(() => world.keys.generate(...args)),
      release: (slot: string) => killer.around(() => world.keys.release(slot)),
    };
    const store: KeptValueStore = {
      loadKeptValues: () => world.store.loadKeptValues(),
      writeKeptValue: (write) => killer.around(() => world.store.writeKeptValue(write)),
    };
    const dying = await world.root({ keys }, store);
    const life = (async () => {
      const next = unwrap(await dying.prepare(ADMIN));
      unwrap(await dying.activate(next.serialDecimal));
    })();
    await Promise.race([killer.died.promise, life]);
    // The operator says both again, as after any lost answer.
    const again = await world.root();
    const active = (await standing(world)).active;
    if (active === before.serialDecimal) {
      const next = unwrap(await again.prepare(ADMIN));
      unwrap(await again.activate(next.serialDecimal));
    } else {
      unwrap(await again.activate(active!));
    }
    const { key } = unwrap(await again.ensure());
    const stands = await standing(world);
    assert.deepEqual(stands.old, [before.serialDecimal], `step ${step}`);
    assert.equal(stands.next, undefined, `step ${step}`);
    assert.deepEqual(slots(world), [key.slot], `step ${step}`);
  }
});

test('a key that an old root had never serves another, whatever became of giving it up', async () => {
  const world = enrolmentWorld();
  const keys = { ...world.keys, release: async () => fail('STORE_IO', 'not now') };
  const root = await world.root({ keys });
  const first = unwrap(await root.ensure()).certificate;
  const second = unwrap(await root.prepare(ADMIN));
  unwrap(await root.activate(second.serialDecimal));
  assert.equal(world.keys.list().length, 2);
  const third = unwrap(await root.prepare(ADMIN));
  for (const other of [first, second]) {
    assert.ok(!equalBytes(other.publicKey.spki, third.publicKey.spki));
  }
  unwrap(await (await world.root()).activate(third.serialDecimal));
  assert.equal(world.keys.list().length, 1);
});

test('a write of a change whose answer is lost is taken as it stands', async () => {
  const world = enrolmentWorld();
  unwrap(await (await world.root()).ensure());
  const store: KeptValueStore = {
    loadKeptValues: () => world.store.loadKeptValues(),
    writeKeptValue: async (write) => {
      await world.store.writeKeptValue(write);
      return fail('STORE_IO', 'lost');
    },
  };
  const root = await world.root({}, store);
  const next = unwrap(await root.prepare(ADMIN));
  assert.equal(unwrap(await root.activate(next.serialDecimal)).serialDecimal, next.serialDecimal);
});

test('a change on one server is so on another at its next call', async () => {
  const world = enrolmentWorld();
  const [one, other] = [await world.root(), await world.root()];
  const first = unwrap(await one.ensure()).certificate;
  assert.equal(unwrap(await other.ensure()).certificate.serialDecimal, first.serialDecimal);
  const next = unwrap(await one.prepare(ADMIN));
  assert.equal(unwrap(await other.prepare(ADMIN)).serialDecimal, next.serialDecimal);
  unwrap(await other.activate(next.serialDecimal));
  assert.equal(unwrap(await one.ensure()).certificate.serialDecimal, next.serialDecimal);
  assert.equal(unwrap(await one.look())?.old.length, 1);
});

test('a store that cannot be read has nothing signed by a root that may be replaced', async () => {
  const world = enrolmentWorld();
  let isDown = false;
  const store: KeptValueStore = {
    loadKeptValues: async () => (isDown ? fail('STORE_IO', 'gone') : world.store.loadKeptValues()),
    writeKeptValue: (write) => world.store.writeKeptValue(write),
  };
  const root = await world.root({}, store);
  unwrap(await root.ensure());
  isDown = true;
  assert.equal(code(await root.ensure()), 'STORE_IO');
});

test('a root whose key is lost, or that ended, is replaced all the same', async () => {
  for (const happen of ['lost', 'ended']) {
    const world = enrolmentWorld();
    const { certificate, key } = unwrap(await (await world.root()).ensure());
    if (happen === 'lost') unwrap(await world.keys.release(key.slot));
    else world.clock.advance(certificate.notAfterMs - world.clock.nowMs());
    const root = await world.root();
    assert.match(code(await root.ensure()), /^ENROLMENT_ROOT_(KEY|ENDED)$/);
    const next = unwrap(await root.prepare(ADMIN));
    unwrap(await root.activate(next.serialDecimal));
    assert.equal(code(await root.ensure()), 'ok');
  }
});

test('a prepared root that cannot sign any more is made anew, and not activated', async () => {
  const world = enrolmentWorld();
  const root = await world.root();
  unwrap(await root.ensure());
  const next = unwrap(await root.prepare(ADMIN));
  unwrap(await world.keys.release(root.made!.next!.slot));
  assert.equal(code(await root.activate(next.serialDecimal)), 'ENROLMENT_ROOT_KEY');
  const other = unwrap(await root.prepare(ADMIN));
  assert.notEqual(other.serialDecimal, next.serialDecimal);
  assert.equal(code(await root.activate(next.serialDecimal)), 'ENROLMENT_ROOT_NEXT');
  unwrap(await root.activate(other.serialDecimal));
});

test('what throws once ends its own call alone', async () => {
  const world = enrolmentWorld();
  let throws = true;
  const generate: typeof world.keys.generate = async (...args) => {
    if (!throws) return world.keys.generate(...args);
    throws = false;
    throw new TypeError('a fault of the driver');
  };
  const root = await world.root({ keys: { ...world.keys, generate } });
  await assert.rejects(root.ensure(), TypeError);
  assert.equal(code(await root.ensure()), 'ok');
});

test('what is kept names enrolment roots in their own slots, each signed by itself, or is none of ours', async () => {
  const world = enrolmentWorld();
  const root = await world.root();
  unwrap(await root.ensure());
  unwrap(await root.prepare(ADMIN));
  const kept = world.store.values.get(NAME)!;
  const { active, next } = unwrap(decodeRoots(kept.value));
  const { certificate } = active;
  const text = Buffer.from(kept.value).toString('utf8');
  const der = Buffer.from(certificate.der);
  const forged = Buffer.from(der);
  forged[forged.length - 1] = forged[forged.length - 1]! ^ 1;
  const authority = makeCertificate({ ca: true, uris: ['spiffe://example.org'] });
  const slot = `${ENROLMENT_SLOT_PREFIX}00`;
  const hostile: readonly (readonly [string, Uint8Array])[] = [
    // The authority of the trust domain in place of the root would sign CAs of vendors.
    [
      'an authority of the trust domain',
      encodeRoots({ active: { slot, certificate: authority.certificate }, next, old: [] }),
    ],
    [
      'the slot of an authority',
      encodeRoots({ active: { ...active, slot: 'X509-CA-A' }, next, old: [] }),
    ],
    [
      'a signature of nobody',
      Buffer.from(text.replace(der.toString('base64'), forged.toString('base64'))),
    ],
    ['two that sign', Buffer.from(text.replace('\nnext ', '\nactive '))],
    ['a line of another kind', Buffer.from(`${text}new a b\n`)],
    ['no root that signs', Buffer.from(text.replace('\nactive ', '\nold '))],
    ['no end', kept.value.subarray(0, -1)],
    ['another form', Buffer.from(text.replace('roots-1', 'roots-2'))],
  ];
  for (const [what, value] of hostile) {
    assert.equal(code(decodeRoots(value)), 'ENROLMENT_RECORD_CORRUPT', what);
    world.store.values.set(NAME, { ...kept, value });
    const opened = await world.root();
    assert.equal(code(await opened.ensure()), 'ENROLMENT_RECORD_CORRUPT', what);
    assert.equal(code(await opened.prepare(ADMIN)), 'ENROLMENT_RECORD_CORRUPT', what);
  }
});
