import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testKeyManager } from '../../../test/support/key-manager-suite.ts';
import { type MemorySealedStore, sealingWorld } from '../../../test/support/sealing.ts';
import { temporaryFolder } from '../../../test/support/state.ts';
import { equalBytes } from '../../base/bytes.ts';
import { fail, type Result, unwrap } from '../../base/result.ts';
import { localCapabilities } from '../local-key.ts';
import { decodeSealed, encodeSealed, openKey, type SealedKey } from './envelope.ts';
import { createSealedFile } from './sealed-file.ts';
import { openSealedKeys, type SealedKeys } from './sealed-keys.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const DAY_MS = 24 * 3_600_000;
const SLOT = 'JWT-Signer-A';

const suite = sealingWorld();
testKeyManager({
  name: 'sealed',
  capabilities: localCapabilities({ persistent: true }),
  open: () => openSealedKeys(suite.options),
});

type World = ReturnType<typeof sealingWorld>;

async function open(world: World): Promise<SealedKeys> {
  return unwrap(await openSealedKeys(world.options));
}

/** A world with one key in it, and what is stored of it. */
async function sealedWorld() {
  const world = sealingWorld();
  const keys = await open(world);
  const key = unwrap(await keys.generate(SLOT, 'ec-p256'));
  return { world, keys, key, stored: storedIn(world.store) };
}

function storedIn(store: MemorySealedStore, slot = SLOT): SealedKey {
  return unwrap(decodeSealed(slot, store.rows.get(slot)!.sealed!));
}

/** Puts something else in the place of what is stored. */
function tamper(world: World, slot: string, sealed: Uint8Array): void {
  const version = (world.store.rows.get(slot)?.version ?? 0n) + 1n;
  world.store.rows.set(slot, { slot, version, sealed });
}

test('I10 nothing of the private key is stored in the clear', async () => {
  const { world, key } = await sealedWorld();
  const stored = Buffer.from(world.store.rows.get(SLOT)!.sealed!);
  const pkcs8 = Buffer.from(key.exportPkcs8()!);
  const scalar = pkcs8.subarray(pkcs8.indexOf(Buffer.from([0x04, 0x20])) + 2).subarray(0, 32);
  for (const form of ['base64', 'hex', 'latin1'] as const) {
    assert.ok(!stored.includes(scalar.toString(form)));
    assert.ok(!stored.includes(pkcs8.toString(form)));
  }
});

test('every server that shares store and wrapping key has the same keys', async () => {
  const { world, key } = await sealedWorld();
  const other = await open(world);
  assert.ok(equalBytes(other.get(SLOT)!.publicKeySpki, key.publicKeySpki));
});

test('one call to the key manager seals a key, one opens it, none signs with it', async () => {
  const { world, key } = await sealedWorld();
  assert.deepEqual(world.wrapper.calls, { wrap: 1, unwrap: 0 });
  for (let round = 0; round < 10; round++) {
    unwrap(await key.sign(Buffer.from('m'), { hash: 'sha256', encoding: 'p1363' }));
  }
  await open(world);
  assert.deepEqual(world.wrapper.calls, { wrap: 1, unwrap: 1 });
});

test('without the key manager open keys go on signing, and nothing is opened or made', async () => {
  const { world, keys, key } = await sealedWorld();
  world.wrapper.refuse = () => fail('KEY_MANAGER_UNREACHABLE', 'by the test');
  assert.equal(code(await keys.refresh()), 'ok');
  assert.equal(code(await key.sign(Buffer.from('m'), { hash: 'sha256', encoding: 'der' })), 'ok');
  assert.equal(code(await keys.generate('JWT-Signer-B', 'ec-p256')), 'KEY_MANAGER_UNREACHABLE');
  assert.equal(keys.get('JWT-Signer-B'), undefined);
  assert.equal(world.store.rows.size, 1);
  assert.equal(code(await openSealedKeys(world.options)), 'KEY_MANAGER_UNREACHABLE');
});

/** Each changes one thing about what is stored; all must be refused when it is opened. */
const CHANGES: readonly (readonly [string, (sealed: SealedKey) => Uint8Array])[] = [
  ['a byte of the box', (sealed) => encodeSealed({ ...sealed, box: flipped(sealed.box, 20) })],
  ['the nonce', (sealed) => encodeSealed({ ...sealed, box: flipped(sealed.box, 0) })],
  ['the tag', (sealed) => encodeSealed({ ...sealed, box: flipped(sealed.box, -1) })],
  ['a box cut short', (sealed) => encodeSealed({ ...sealed, box: sealed.box.subarray(0, 28) })],
  ['the type', (sealed) => encodeSealed({ ...sealed, type: 'ec-p384' })],
  [
    'the public key',
    (sealed) => encodeSealed({ ...sealed, publicKeySpki: flipped(sealed.publicKeySpki, -1) }),
  ],
  [
    'the wrapped data key',
    (sealed) => {
      const { wrapped } = sealed;
      const ciphertext = flipped(wrapped.ciphertext, 15);
      return encodeSealed({ ...sealed, wrapped: { ...wrapped, ciphertext } });
    },
  ],
  ['a line more', (sealed) => Buffer.concat([encodeSealed(sealed), Buffer.from('x\n')])],
  ['a line less', (sealed) => encodeSealed(sealed).subarray(0, -40)],
  ['nothing', () => new Uint8Array()],
];

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
}

for (const [what, change] of CHANGES) {
  test(`refuses a sealed key with ${what} changed`, async () => {
    const { world, stored } = await sealedWorld();
    tamper(world, SLOT, change(stored));
    assert.equal(code(await openSealedKeys(world.options)), 'KEY_SEAL_BROKEN');
  });
}

test('refuses a key that was sealed for another slot, whatever the copy says', async () => {
  const { world, stored } = await sealedWorld();
  tamper(world, 'WIT-Signer-A', encodeSealed(stored));
  assert.equal(code(await openSealedKeys(world.options)), 'KEY_SEAL_BROKEN');
  tamper(world, 'WIT-Signer-A', encodeSealed({ ...stored, slot: 'WIT-Signer-A' }));
  assert.equal(code(await openSealedKeys(world.options)), 'KEY_SEAL_BROKEN');
});

test('refuses keys of another trust domain under the same wrapping key', async () => {
  const { world } = await sealedWorld();
  const foreign = { ...world.options, trustDomain: 'other.example' };
  assert.equal(code(await openSealedKeys(foreign)), 'KEY_SEAL_BROKEN');
});

test('refuses the data key of the key that was in the slot before', async () => {
  const { world, keys, stored } = await sealedWorld();
  unwrap(await keys.generate(SLOT, 'ec-p256'));
  const next = storedIn(world.store);
  tamper(world, SLOT, encodeSealed({ ...next, wrapped: stored.wrapped }));
  assert.equal(code(await openSealedKeys(world.options)), 'KEY_SEAL_BROKEN');
});

test('the type of a key is authenticated with it', async () => {
  const { world, stored } = await sealedWorld();
  assert.equal(code(await openKey(stored, world.options)), 'ok');
  const retyped = { ...stored, type: 'ec-p384' };
  assert.equal(code(await openKey(retyped, world.options)), 'KEY_SEAL_BROKEN');
});

test('a damaged row takes no open key away, and standing tells of it', async () => {
  const { world, keys, key } = await sealedWorld();
  tamper(world, SLOT, Buffer.from('damaged'));
  assert.equal(code(await keys.refresh()), 'KEY_SEAL_BROKEN');
  assert.equal(code(keys.standing()), 'KEY_SEAL_BROKEN');
  assert.equal(keys.get(SLOT), key);
});

test('rotation wraps every key anew, and the keys stay what they are', async () => {
  const { world, keys, key, stored } = await sealedWorld();
  const signer = unwrap(await keys.ed25519('Ledger'));
  unwrap(await keys.rotate());
  const after = storedIn(world.store);
  assert.notEqual(after.wrapped.wrappingKeyId, stored.wrapped.wrappingKeyId);
  assert.ok(equalBytes(after.box, stored.box), 'the key itself is not sealed again');
  const again = await open(world);
  assert.ok(equalBytes(again.get(SLOT)!.publicKeySpki, key.publicKeySpki));
  assert.ok(equalBytes(unwrap(await again.ed25519('Ledger')).publicKeySpki, signer.publicKeySpki));
});

test('a server that did not rotate follows without a call to the key manager', async () => {
  const { world, keys } = await sealedWorld();
  const other = await open(world);
  unwrap(await keys.rotate());
  const { unwrap: before } = world.wrapper.calls;
  unwrap(await other.refresh());
  assert.equal(world.wrapper.calls.unwrap, before);
  unwrap(await other.generate(SLOT, 'ec-p256'));
});

test('a wrapping key is replaced by itself when it is old enough, and not before', async () => {
  const world = sealingWorld();
  const keys = unwrap(await openSealedKeys({ ...world.options, rotateAfterMs: 10 * DAY_MS }));
  unwrap(await keys.generate(SLOT, 'ec-p256'));
  const idle = async (): Promise<void> => {
    // A day and a tenth: whatever the jitter, the upkeep of that day is due.
    world.clock.advance(DAY_MS * 1.1);
    await new Promise((resolve) => setImmediate(resolve));
    await keys.refresh();
  };
  for (let day = 0; day < 8; day++) await idle();
  assert.equal(world.wrapper.made, 1);
  for (let day = 0; day < 3; day++) await idle();
  assert.equal(world.wrapper.made, 2);
  assert.equal(storedIn(world.store).wrapped.wrappingKeyId, '2');
  await keys.close();
});

test('a rotation that stops halfway is taken up again, with nothing lost', async () => {
  const { world, keys, key } = await sealedWorld();
  unwrap(await keys.generate('WIT-Signer-A', 'ec-p256'));
  let calls = 0;
  world.wrapper.refuse = (call) => {
    if (call === 'unwrap') calls += 1;
    return calls === 2 ? fail('KEY_MANAGER_TIMEOUT', 'by the test') : undefined;
  };
  assert.equal(code(await keys.rotate()), 'KEY_MANAGER_TIMEOUT');
  world.wrapper.refuse = () => undefined;
  const after = await open(world);
  assert.ok(equalBytes(after.get(SLOT)!.publicKeySpki, key.publicKeySpki));
  unwrap(await after.rotate());
  for (const slot of [SLOT, 'WIT-Signer-A']) {
    assert.equal(storedIn(world.store, slot).wrapped.wrappingKeyId, String(world.wrapper.made));
  }
});

test('of two servers that make a key in one slot the second is refused and sees the first', async () => {
  const world = sealingWorld();
  const [one, two] = [await open(world), await open(world)];
  const first = unwrap(await one.generate(SLOT, 'ec-p256'));
  assert.equal(code(await two.generate(SLOT, 'ec-p256')), 'STORE_CONFLICT');
  assert.ok(equalBytes(two.get(SLOT)!.publicKeySpki, first.publicKeySpki));
});

test('an Ed25519 key is made once, for all servers and starts', async () => {
  const world = sealingWorld();
  const [one, two] = [await open(world), await open(world)];
  const first = unwrap(await one.ed25519('Ledger'));
  const second = unwrap(await two.ed25519('Ledger'));
  assert.ok(equalBytes(first.publicKeySpki, second.publicKeySpki));
  const third = unwrap(await (await open(world)).ed25519('Ledger'));
  const message = Buffer.from('a checkpoint');
  const key = Buffer.from(first.publicKeySpki);
  const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
  assert.ok(verify(null, message, publicKey, unwrap(await third.sign(message))));
});

test('a key that is wanted for good is made once, for all servers and starts', async () => {
  const world = sealingWorld();
  const [one, two] = [await open(world), await open(world)];
  const first = unwrap(await one.ensure('CRL', 'ec-p256'));
  assert.equal(unwrap(await one.ensure('CRL', 'ec-p256')), first);
  assert.deepEqual(unwrap(await two.ensure('CRL', 'ec-p256')).publicKeySpki, first.publicKeySpki);
  const third = unwrap(await (await open(world)).ensure('CRL', 'ec-p256'));
  assert.deepEqual(third.publicKeySpki, first.publicKeySpki);
  assert.equal(world.wrapper.calls.wrap, 2, 'the second server sealed one in vain');
});

test('an Ed25519 key that is given is sealed where there is none, and changes none', async () => {
  const world = sealingWorld();
  const [given, other] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const spki = given.publicKey.export({ type: 'spki', format: 'der' });
  for (const { privateKey } of [given, other]) {
    const key = unwrap(await (await open(world)).ed25519('Ledger', privateKey));
    assert.deepEqual(Buffer.from(key.publicKeySpki), spki);
  }
});

test('a store of one file keeps one slot, and only what follows on what was read', async (context) => {
  const path = join(await temporaryFolder(context), 'key.sealed');
  const world = sealingWorld();
  const started = async () => {
    const store = createSealedFile(path, 'Ledger');
    return { store, keys: unwrap(await openSealedKeys({ ...world.options, store })) };
  };
  const { store, keys } = await started();
  const key = unwrap(await keys.ed25519('Ledger'));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(code(await keys.generate('Other', 'ec-p256')), 'STORE_CONFLICT');
  const late = { slot: 'Ledger', expectedVersion: 0n, sealed: new Uint8Array(1) };
  assert.equal(code(await store.writeSealedKey(late)), 'STORE_CONFLICT');
  unwrap(await keys.rotate());
  unwrap(await keys.rotate());
  const again = await started();
  assert.deepEqual(unwrap(await again.keys.ed25519('Ledger')).publicKeySpki, key.publicKeySpki);
});

test('a key that was given up is gone for every server', async () => {
  const { world, keys } = await sealedWorld();
  unwrap(await keys.release(SLOT));
  assert.equal(world.store.rows.get(SLOT)?.sealed, undefined);
  assert.equal((await open(world)).get(SLOT), undefined);
  unwrap(await (await open(world)).generate(SLOT, 'ec-p256'));
});
