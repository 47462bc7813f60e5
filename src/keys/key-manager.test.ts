import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { unwrap } from '../base/result.ts';
import { openDiskKeyManager } from './disk-key-manager.ts';
import { KEY_TYPES, type KeyManager, type KeyType, type SigningKey } from './key-manager.ts';
import { createMemoryKeyManager } from './memory-key-manager.ts';

/** One backend under the suite, with what it claims to be able to do. */
interface Backend {
  readonly name: string;
  readonly persistent: boolean;
  /** Whether private keys are in this process. */
  readonly exportable: boolean;
  /** Opens the same keys again, as a restart would. */
  open(): Promise<KeyManager>;
}

const directory = await mkdtemp(join(tmpdir(), 'signet-keys-'));
after(() => rm(directory, { recursive: true, force: true }));

const BACKENDS: readonly Backend[] = [
  {
    name: 'memory',
    persistent: false,
    exportable: true,
    open: async () => createMemoryKeyManager(),
  },
  {
    name: 'disk',
    persistent: true,
    exportable: true,
    open: async () => unwrap(await openDiskKeyManager(join(directory, 'keys'))),
  },
];

const message = Buffer.from('to be signed');
const publicKeyOf = (key: SigningKey) =>
  createPublicKey({ key: Buffer.from(key.publicKeySpki), format: 'der', type: 'spki' });

async function signsUnder(key: SigningKey, expected: SigningKey): Promise<boolean> {
  const signature = unwrap(await key.sign(message, { hash: 'sha256', encoding: 'der' }));
  return verify('sha256', message, publicKeyOf(expected), signature);
}

for (const backend of BACKENDS) {
  describe(`key manager ${backend.name}`, () => {
    test('declares its name and whether keys outlive the process', async () => {
      const manager = await backend.open();
      assert.equal(manager.name, backend.name);
      assert.equal(manager.persistent, backend.persistent);
    });

    for (const type of KEY_TYPES.filter((each) => each !== 'rsa-4096')) {
      test(`makes and finds a key of type ${type} that signs`, async () => {
        const manager = await backend.open();
        const key = unwrap(await manager.generate(`slot-${type}`, type));
        assert.equal(key.type, type);
        assert.equal(manager.get(`slot-${type}`), key);
        assert.ok(manager.list().includes(key));
        assert.ok(await signsUnder(key, key));
        assert.equal(key.exportPkcs8() !== undefined, backend.exportable);
      });
    }

    test('has no key in a slot that never had one', async () => {
      assert.equal((await backend.open()).get('slot-empty'), undefined);
    });

    test('replaces the key of a slot', async () => {
      const manager = await backend.open();
      const first = unwrap(await manager.generate('slot-again', 'ec-p256'));
      const second = unwrap(await manager.generate('slot-again', 'ec-p384'));
      assert.equal(manager.get('slot-again'), second);
      assert.equal(manager.list().filter((key) => key.slot === 'slot-again').length, 1);
      assert.ok(!(await signsUnder(first, second).catch(() => false)));
    });

    test('finds its keys after a restart, or says that it does not', async () => {
      const made = unwrap(await (await backend.open()).generate('slot-restart', 'ec-p256'));
      const found = (await backend.open()).get('slot-restart');
      assert.equal(found !== undefined, backend.persistent);
      if (found !== undefined) assert.ok(await signsUnder(found, made));
    });

    test('keeps one of two keys made at the same moment in one slot, and it is the one found', async () => {
      const manager = await backend.open();
      const made = await Promise.all([
        manager.generate('slot-race', 'ec-p256'),
        manager.generate('slot-race', 'ec-p256'),
      ]);
      const held = manager.get('slot-race');
      assert.ok(made.some((result) => unwrap(result) === held));
      if (!backend.persistent) return;
      assert.deepEqual((await backend.open()).get('slot-race')?.publicKeySpki, held?.publicKeySpki);
    });

    for (const slot of ['', '../escape', 'a/b', 'a.b', 'slot\0', 'x'.repeat(65)]) {
      test(`refuses the slot name ${JSON.stringify(slot.slice(0, 12))}`, async () => {
        const manager = await backend.open();
        const made = await manager.generate(slot, 'ec-p256');
        assert.equal(made.ok ? 'made' : made.error.code, 'KEY_SLOT_NAME');
      });
    }

    const encodings: readonly [KeyType, 'der' | 'p1363', number][] = [
      ['ec-p256', 'p1363', 64],
      ['ec-p384', 'p1363', 96],
      ['rsa-2048', 'der', 256],
      ['rsa-2048', 'p1363', 256],
    ];
    for (const [type, encoding, length] of encodings) {
      test(`signs with ${type} as ${encoding} in ${length} bytes`, async () => {
        const manager = await backend.open();
        const key = unwrap(await manager.generate('slot-encoding', type));
        const signature = unwrap(await key.sign(message, { hash: 'sha384', encoding }));
        assert.equal(signature.length, length);
        const input = { key: publicKeyOf(key), dsaEncoding: 'ieee-p1363' as const };
        if (encoding === 'p1363') assert.ok(verify('sha384', message, input, signature));
      });
    }

    test('leaves the event loop free while it makes an RSA key', async () => {
      const manager = await backend.open();
      let turns = 0;
      const count = setInterval(() => (turns += 1), 1);
      unwrap(await manager.generate('slot-loop', 'rsa-4096'));
      clearInterval(count);
      assert.ok(turns > 1);
    });
  });
}
