import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enrolmentWorld, lastingKeys } from '../../test/support/enrolment.ts';
import { Killer } from '../../test/support/killer.ts';
import { equalBytes } from '../base/bytes.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import type { KeptValueStore } from '../store/kept-values.ts';
import type { CaRecord } from './x509-certificate.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const NAME = 'enrolment-root';

test('is made at the first use, and is the same ever after, restarts included', async () => {
  const world = enrolmentWorld();
  const first = await world.root();
  assert.equal(first.made, undefined);
  assert.equal(world.keys.list().length, 0);
  const [a, b] = await Promise.all([first.ensure(), first.ensure()]);
  const again = await (await world.root()).ensure();
  const { certificate } = unwrap(a);
  for (const other of [b, again]) {
    assert.ok(equalBytes(unwrap(other).certificate.der, certificate.der));
  }
  assert.equal(world.keys.list().length, 1);
  assert.ok(
    equalBytes(
      (await world.root()).made?.active.certificate.der ?? new Uint8Array(),
      certificate.der,
    ),
  );
});

test('is a CA for one CA below, without a SPIFFE ID, with no URI permitted', async () => {
  const { certificate } = unwrap(await (await enrolmentWorld().root()).ensure());
  assert.deepEqual(certificate.basicConstraints, { critical: true, ca: true, pathLength: 1 });
  assert.equal(certificate.subjectAltName, undefined);
  assert.equal(certificate.notAfterMs - certificate.notBeforeMs, (3650 * 86_400 + 60) * 1000);
});

test('I2 is on record before it is signed, or it is not signed', async () => {
  const world = enrolmentWorld();
  const records: CaRecord[] = [];
  const refusing = await world.root({
    recordCa: async () => fail('LEDGER_IO', 'the disk is full'),
  });
  assert.equal(code(await refusing.ensure()), 'LEDGER_IO');
  assert.equal(world.store.values.size, 0);
  const root = await world.root({
    recordCa: async (record) => {
      records.push(record);
      return { ok: true, value: undefined };
    },
  });
  const { certificate } = unwrap(await root.ensure());
  const [record, ...others] = records;
  assert.equal(others.length, 0);
  assert.equal(record?.purpose, 'enrolment-root');
  assert.equal(record.trustDomain, undefined);
  assert.ok(equalBytes(record.keyId, certificate.subjectKeyId!));
});

test('heals after a crash before or after each durable act, with one key and one root', async () => {
  for (let step = 1; step <= 4; step++) {
    const world = enrolmentWorld();
    const killer = new Killer(step);
    const keys = {
      ...world.keys,
      generate: (...args: Parameters<typeof world.keys.generate>) =>
        killer.around(() => world.keys.generate(...args)),
    };
    const store: KeptValueStore = {
      loadKeptValues: () => world.store.loadKeptValues(),
      writeKeptValue: (write) => killer.around(() => world.store.writeKeptValue(write)),
    };
    void (await world.root({ keys }, store)).ensure();
    await killer.died.promise;
    const { certificate } = unwrap(await (await world.root()).ensure());
    const [key, ...others] = world.keys.list();
    assert.equal(others.length, 0, `step ${step}`);
    assert.ok(equalBytes(key!.publicKeySpki, certificate.publicKey.spki), `step ${step}`);
  }
});

test('a write whose answer is lost is taken as it stands', async () => {
  const world = enrolmentWorld();
  const store: KeptValueStore = {
    loadKeptValues: () => world.store.loadKeptValues(),
    writeKeptValue: async (write) => {
      await world.store.writeKeptValue(write);
      return fail('STORE_IO', 'lost');
    },
  };
  const { certificate } = unwrap(await (await world.root({}, store)).ensure());
  assert.ok(equalBytes((await world.root()).made!.active.certificate.der, certificate.der));
});

test('of two servers that make it at once, the first to be kept is the root of both', async () => {
  const world = enrolmentWorld();
  const { certificate } = unwrap(await (await world.root()).ensure());
  // The other began before it could see the first one's key.
  const blind = { ...world.keys, list: () => [] };
  const store = new Map(world.store.values);
  world.store.values.clear();
  const other = await world.root({ keys: blind });
  for (const [name, value] of store) world.store.values.set(name, value);
  assert.ok(equalBytes(unwrap(await other.ensure()).certificate.der, certificate.der));
  assert.equal(world.keys.list().length, 1);
});

test('is not made anew where its key is gone, or another one', async () => {
  const world = enrolmentWorld();
  unwrap(await (await world.root()).ensure());
  const gone = await world.root({ keys: lastingKeys() });
  assert.equal(code(await gone.ensure()), 'ENROLMENT_ROOT_KEY');
  const slot = world.keys.list()[0]!.slot;
  unwrap(await world.keys.generate(slot, 'ec-p384'));
  assert.equal(code(await (await world.root()).ensure()), 'ENROLMENT_ROOT_KEY');
});

test('is not made with keys that a restart forgets', async () => {
  const root = await enrolmentWorld().root({ keys: createMemoryKeyManager() });
  assert.equal(code(await root.ensure()), 'ENROLMENT_ROOT_KEY');
});

for (const [atMs, expected] of [
  [-1, 'ok'],
  [0, 'ENROLMENT_ROOT_ENDED'],
  [1, 'ENROLMENT_ROOT_ENDED'],
] as const) {
  test(`${atMs} ms after its end it answers ${expected}`, async () => {
    const world = enrolmentWorld();
    const root = await world.root();
    const { certificate } = unwrap(await root.ensure());
    world.clock.advance(certificate.notAfterMs - world.clock.nowMs() + atMs);
    assert.equal(code(await root.ensure()), expected);
  });
}

test('what is kept and of no known form is refused', async () => {
  const world = enrolmentWorld();
  unwrap(await (await world.root()).ensure());
  const kept = world.store.values.get(NAME)!;
  for (const value of [Buffer.from('x'), Buffer.concat([kept.value, Buffer.from('x')])]) {
    world.store.values.set(NAME, { ...kept, value });
    const root = await world.root();
    assert.equal(code(await root.ensure()), 'ENROLMENT_RECORD_CORRUPT');
    assert.equal(root.made, undefined);
  }
});

test('the only root there was, in the form that is kept no more, signs on and is replaced as any other', async () => {
  const world = enrolmentWorld();
  const { certificate, key } = unwrap(await (await world.root()).ensure());
  const kept = world.store.values.get(NAME)!;
  const der = Buffer.from(certificate.der).toString('base64');
  const keep = (slot: string, base64: string, rest = '') => {
    const value = Buffer.from(`signet-enrolment-root-1\n${slot}\n${base64}\n${rest}`);
    world.store.values.set(NAME, { ...kept, value });
  };
  const hostile = [
    [key.slot, der, 'x'],
    ['WIT-Signer-A', der],
    [key.slot, der.slice(4)],
    [`${key.slot} x`, der],
  ] as const;
  for (const [slot, base64, rest] of hostile) {
    keep(slot, base64, rest);
    assert.equal(code(await (await world.root()).ensure()), 'ENROLMENT_RECORD_CORRUPT');
  }
  keep(key.slot, der);
  const root = await world.root();
  assert.equal(unwrap(await root.ensure()).certificate.serialDecimal, certificate.serialDecimal);
  const next = unwrap(await root.prepare('local:7'));
  unwrap(await root.activate(next.serialDecimal));
  const made = (await world.root()).made;
  assert.deepEqual(
    [made?.active, ...(made?.old ?? [])].map((one) => one?.certificate.serialDecimal),
    [next.serialDecimal, certificate.serialDecimal],
  );
});
