import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, describe, test } from 'node:test';
import type { ErrorCode } from '../../src/base/errors.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import type {
  KeyCapabilities,
  KeyManager,
  KeyType,
  SigningKey,
} from '../../src/keys/key-manager.ts';

/** What every key manager outside the process must tell apart, or be said not to know. */
const FAULTS = [
  'throttled',
  'slow',
  'down',
  "another key's signature",
  'a key disabled',
  'a key deleted',
  'permission lost',
  'a name moved to another key',
] as const;

/** A fault of {@link FAULTS}. */
export type FaultName = (typeof FAULTS)[number];

/** Something that goes wrong in a backend, on demand. */
export interface KeyFault {
  readonly name: FaultName | (string & {});
  readonly code: ErrorCode;
  /** Where it shows; at signing unless said. */
  readonly shows?: 'sign' | 'refresh' | 'open' | 'generate';
  /** Makes it go wrong for the key of a slot. Answers what puts it right; undefined where nothing does. */
  begin(slot: string, key: SigningKey): Promise<(() => Promise<void>) | undefined>;
}

/** One backend under the suite, with what it claims to be able to do. */
export interface KeyBackend {
  readonly name: string;
  readonly capabilities: KeyCapabilities;
  /**
   * Opens the same keys again, as a restart would. `hasty` is asked for where something goes wrong:
   * with time limits so short that "never" does not take long.
   */
  open(pace?: 'hasty'): Promise<Result<KeyManager>>;
  readonly faults?: readonly KeyFault[];
  /** Faults that this backend cannot have, and why. */
  readonly lacks?: Readonly<Partial<Record<FaultName, string>>>;
}

const message = Buffer.from('to be signed');
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

const publicKeyOf = (key: SigningKey) =>
  createPublicKey({ key: Buffer.from(key.publicKeySpki), format: 'der', type: 'spki' });

const hashOf = (type: KeyType) => (type === 'ec-p384' ? 'sha384' : 'sha256');

async function signsUnder(key: SigningKey, expected: SigningKey): Promise<boolean> {
  const hash = hashOf(key.type);
  const signature = unwrap(await key.sign(message, { hash, encoding: 'der' }));
  return verify(hash, message, publicKeyOf(expected), signature);
}

/** The one suite that every key manager passes. `options` are those of the suite as a whole. */
export function testKeyManager(backend: KeyBackend, options: { skip?: string | false } = {}): void {
  describe(`key manager ${backend.name}`, options, () => {
    const opened: KeyManager[] = [];
    const open = async (pace?: 'hasty'): Promise<KeyManager> => {
      const manager = unwrap(await backend.open(pace));
      opened.push(manager);
      return manager;
    };
    after(async () => {
      for (const manager of opened) await manager.close();
    });
    testKeys(backend, open);
    testFaults(backend, open);
  });
}

function testKeys(backend: KeyBackend, open: () => Promise<KeyManager>): void {
  const { persistent, inProcess, anyHash, keyTypes } = backend.capabilities;

  test('declares its name and what it can do', async () => {
    const manager = await open();
    assert.equal(manager.name, backend.name);
    assert.deepEqual(manager.capabilities, backend.capabilities);
  });

  for (const type of keyTypes.filter((each) => each !== 'rsa-4096')) {
    test(`makes and finds a key of type ${type} that signs`, async () => {
      const manager = await open();
      const key = unwrap(await manager.generate(`slot-${type}`, type));
      assert.equal(key.type, type);
      assert.equal(key.slot, `slot-${type}`);
      assert.equal(manager.get(`slot-${type}`), key);
      assert.ok(manager.list().includes(key));
      assert.ok(await signsUnder(key, key));
      assert.equal(key.exportPkcs8() !== undefined, inProcess);
      assert.equal(code(manager.standing()), 'ok');
    });
  }

  test('has no key in a slot that never had one', async () => {
    assert.equal((await open()).get('slot-empty'), undefined);
  });

  test('replaces the key of a slot', async () => {
    const manager = await open();
    const first = unwrap(await manager.generate('slot-again', 'ec-p256'));
    const second = unwrap(await manager.generate('slot-again', 'ec-p384'));
    assert.equal(manager.get('slot-again'), second);
    assert.equal(manager.list().filter((key) => key.slot === 'slot-again').length, 1);
    assert.ok(!(await signsUnder(first, second).catch(() => false)));
    if (persistent) {
      const found = (await open()).get('slot-again');
      assert.deepEqual(found?.publicKeySpki, second.publicKeySpki);
    }
  });

  test('finds its keys after a restart and makes none, or says that it does not', async () => {
    const made = unwrap(await (await open()).generate('slot-restart', 'ec-p256'));
    const again = await open();
    const found = again.get('slot-restart');
    assert.equal(found !== undefined, persistent);
    if (found === undefined) return;
    assert.deepEqual(found.publicKeySpki, made.publicKeySpki);
    assert.ok(await signsUnder(found, made));
    assert.equal((await open()).list().length, again.list().length);
  });

  test('keeps one of two keys made at the same moment in one slot, and it is the one found', async () => {
    const manager = await open();
    const made = await Promise.all([
      manager.generate('slot-race', 'ec-p256'),
      manager.generate('slot-race', 'ec-p256'),
    ]);
    const held = manager.get('slot-race');
    assert.ok(made.some((result) => unwrap(result) === held));
    if (!persistent) return;
    assert.deepEqual((await open()).get('slot-race')?.publicKeySpki, held?.publicKeySpki);
  });

  test('gives up a key for good; an empty slot is fine', async () => {
    const manager = await open();
    unwrap(await manager.generate('slot-released', 'ec-p256'));
    for (let twice = 0; twice < 2; twice++) {
      assert.equal(code(await manager.release('slot-released')), 'ok');
      assert.equal(manager.get('slot-released'), undefined);
    }
    assert.equal((await open()).get('slot-released'), undefined);
    const made = unwrap(await manager.generate('slot-released', 'ec-p256'));
    assert.ok(await signsUnder(made, made));
    assert.equal(code(await manager.refresh()), 'ok');
  });

  for (const slot of ['', '../escape', 'a/b', 'a.b', 'slot\0', 'x'.repeat(65)]) {
    test(`refuses the slot name ${JSON.stringify(slot.slice(0, 12))}`, async () => {
      assert.equal(code(await (await open()).generate(slot, 'ec-p256')), 'KEY_SLOT_NAME');
    });
  }

  const encodings: readonly [KeyType, 'der' | 'p1363', boolean, number][] = [
    ['ec-p256', 'p1363', false, 64],
    ['ec-p384', 'p1363', false, 96],
    ['rsa-2048', 'der', false, 256],
    ['rsa-2048', 'p1363', false, 256],
    ['rsa-2048', 'der', true, 256],
  ];
  for (const [type, encoding, pss, length] of encodings) {
    test(`signs with ${type} as ${encoding}${pss ? ', PSS,' : ''} in ${length} bytes`, async () => {
      const key = unwrap(await (await open()).generate('slot-encoding', type));
      const hash = hashOf(type);
      const signature = unwrap(await key.sign(message, { hash, encoding, pss }));
      assert.equal(signature.length, length);
      // RSA_PKCS1_PSS_PADDING (6), salt as long as the digest (-1).
      const padding = pss ? { padding: 6, saltLength: -1 } : {};
      const input = { key: publicKeyOf(key), dsaEncoding: 'ieee-p1363' as const, ...padding };
      assert.ok(verify(hash, message, input, signature));
    });
  }

  test('signs with a curve and the hash of another, or says that it cannot', async () => {
    const key = unwrap(await (await open()).generate('slot-hash', 'ec-p256'));
    const signed = await key.sign(message, { hash: 'sha384', encoding: 'der' });
    assert.equal(code(signed), anyHash ? 'ok' : 'KEY_SIGNING_UNSUPPORTED');
    if (signed.ok) assert.ok(verify('sha384', message, publicKeyOf(key), signed.value));
  });

  test('leaves the event loop free while it makes an RSA key', async () => {
    const manager = await open();
    let turns = 0;
    const count = setInterval(() => (turns += 1), 1);
    const key = unwrap(await manager.generate('slot-loop', 'rsa-4096'));
    clearInterval(count);
    assert.ok(turns > 1);
    assert.ok(await signsUnder(key, key));
  });

  test('signs many messages at once, each its own', async () => {
    const key = unwrap(await (await open()).generate('slot-many', 'ec-p256'));
    const messages = Array.from({ length: 100 }, (_, index) => Buffer.from(`message ${index}`));
    const signed = await Promise.all(
      messages.map((each) => key.sign(each, { hash: 'sha256', encoding: 'der' })),
    );
    signed.forEach((signature, index) => {
      assert.ok(verify('sha256', messages[index]!, publicKeyOf(key), unwrap(signature)));
    });
  });
}

function testFaults(backend: KeyBackend, open: (pace: 'hasty') => Promise<KeyManager>): void {
  const { faults = [], lacks = {} } = backend;
  if (backend.capabilities.inProcess) return;

  test('is tried with every fault, or says why it cannot have it', () => {
    const known = new Set<string>([...faults.map(({ name }) => name), ...Object.keys(lacks)]);
    assert.deepEqual(
      FAULTS.filter((name) => !known.has(name)),
      [],
    );
  });

  test('has a code of its own for each fault', () => {
    const codes = new Map<string, string>();
    for (const { name, code: each } of faults) {
      assert.equal(codes.get(each) ?? name, name, `${each} stands for two faults`);
      codes.set(each, name);
    }
  });

  for (const [index, fault] of faults.entries()) {
    const { name, shows = 'sign' } = fault;
    test(`${name}, seen at ${shows}, is ${fault.code} and passes`, async () => {
      const manager = await open('hasty');
      const slot = `slot-fault-${index}`;
      const key = unwrap(await manager.generate(slot, 'ec-p256'));
      const acts = {
        sign: () => key.sign(message, { hash: 'sha256', encoding: 'der' }),
        refresh: () => manager.refresh(),
        open: () => backend.open('hasty'),
        generate: () => manager.generate(`${slot}-new`, 'ec-p256'),
      };
      assert.equal(code(await acts.sign()), 'ok');
      const end = await fault.begin(slot, key);
      const seen = code(await acts[shows]());
      const standing = code(manager.standing());
      await end?.();
      assert.equal(seen, fault.code);
      assert.equal(standing, shows === 'refresh' ? fault.code : 'ok');
      // Whatever went wrong, a key that was given out is never another one.
      assert.deepEqual(manager.get(slot)?.publicKeySpki, key.publicKeySpki);
      if (end === undefined) return void (await manager.release(slot));
      assert.equal(code(await acts.sign()), 'ok');
      assert.equal(code(await manager.refresh()), 'ok');
    });
  }
}
