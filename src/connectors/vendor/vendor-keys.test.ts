import assert from 'node:assert/strict';
import { readFileSync, statSync, unlinkSync } from 'node:fs';
import { test } from 'node:test';
import {
  takeKey,
  VENDOR_KEY,
  VENDOR_KEY_DRAFT,
  vendorKeysWorld,
} from '../../../test/support/vendor-keys.ts';
import { fail, type Result, unwrap } from '../../base/result.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import type { KeptValueStore } from '../../store/kept-values.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
test('a key is given to the connectors of its group, each counted once, restarts included', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, used: 1 }));
  for (const [id, uses] of [
    ['a', 2],
    ['a', 2],
    ['b', 3],
  ] as const) {
    assert.deepEqual(unwrap(await takeKey(keys, 'berlin', id)), {
      key: VENDOR_KEY,
      fingerprint: unwrap(await takeKey(keys, 'berlin', id)).fingerprint,
      maxUses: 5,
      uses,
    });
  }
  const again = await open();
  assert.equal(unwrap(await takeKey(again, 'berlin', 'a')).uses, 3);
  assert.equal(code(await takeKey(again, 'hamburg', 'a')), 'VENDOR_KEY_NONE');
});

test('many at once are counted one by one, and none beyond the limit', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  const ids = Array.from({ length: 12 }, (_, at) => `c${at}`);
  const given = await Promise.all(ids.map((id) => takeKey(keys, 'berlin', id)));
  const codes = given.map(code);
  assert.equal(codes.filter((each) => each === 'ok').length, 5);
  assert.equal(codes.filter((each) => each === 'VENDOR_KEY_EXHAUSTED').length, 7);
  const had = ids.filter((_, at) => codes[at] === 'ok');
  for (const id of had) assert.equal(code(await takeKey(keys, 'berlin', id)), 'ok');
});

test('a use is durable before the key is given, and a use that is not is not given', async (context) => {
  const { store, open } = vendorKeysWorld(context);
  unwrap(await (await open()).put(VENDOR_KEY_DRAFT));
  const broken: KeptValueStore = {
    loadKeptValues: () => store.loadKeptValues(),
    writeKeptValue: async () => fail('STORE_IO', 'the disk is full'),
  };
  assert.equal(code(await takeKey(await open(broken), 'berlin', 'a')), 'STORE_IO');
  assert.equal(unwrap(await takeKey(await open(), 'berlin', 'b')).uses, 1);
});

test('a use that another server counted meanwhile counts', async (context) => {
  const { open } = vendorKeysWorld(context);
  const [one, other] = [await open(), await open()];
  unwrap(await one.put({ ...VENDOR_KEY_DRAFT, maxUses: 2 }));
  assert.equal(unwrap(await takeKey(one, 'berlin', 'a')).uses, 1);
  assert.equal(unwrap(await takeKey(other, 'berlin', 'b')).uses, 2);
  assert.equal(code(await takeKey(one, 'berlin', 'c')), 'VENDOR_KEY_EXHAUSTED');
});

test('the same key again keeps its uses, another one begins anew', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  unwrap(await takeKey(keys, 'berlin', 'a'));
  unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, maxUses: 9, used: 2 }));
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'b')).uses, 4);
  unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, key: `${VENDOR_KEY}2` }));
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'b')).uses, 1);
  assert.equal(unwrap(await keys.delete('berlin')), true);
  assert.equal(unwrap(await keys.delete('berlin')), false);
  assert.equal(code(await takeKey(keys, 'berlin', 'b')), 'VENDOR_KEY_NONE');
});

test('is told once when four fifths are used, and at every refusal', async (context) => {
  const { open, warnings } = vendorKeysWorld(context);
  const metrics = createMetrics('test');
  const keys = await open(undefined, { metrics });
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  for (const id of ['a', 'b', 'c']) unwrap(await takeKey(keys, 'berlin', id));
  assert.equal(warnings.length, 0);
  unwrap(await takeKey(keys, 'berlin', 'd'));
  assert.equal(warnings.length, 1);
  const text = await metrics.registry.metrics();
  assert.match(text, /\ntest_vendor_key_uses_ratio\{group="berlin"\} 0\.8\n/);
  unwrap(await takeKey(keys, 'berlin', 'e'));
  assert.equal(warnings.length, 1);
  assert.equal(code(await takeKey(keys, 'berlin', 'f')), 'VENDOR_KEY_EXHAUSTED');
  assert.equal(warnings.length, 2);
  assert.ok(!JSON.stringify(warnings).includes(VENDOR_KEY));
});

test('is nowhere in the clear: not in the store, a list, a refusal or the wrapping file', async (context) => {
  const { store, path, open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  unwrap(await takeKey(keys, 'berlin', 'a'));
  const refused = await keys.put({ ...VENDOR_KEY_DRAFT, key: `${VENDOR_KEY}\n` });
  const places = [
    ...[...store.values.values()].map(({ value }) => Buffer.from(value).toString('latin1')),
    JSON.stringify(keys.list()),
    JSON.stringify(refused),
    readFileSync(path, 'latin1'),
  ];
  for (const form of [
    VENDOR_KEY,
    Buffer.from(VENDOR_KEY).toString('base64'),
    Buffer.from(VENDOR_KEY).toString('hex'),
  ]) {
    for (const text of places) assert.ok(!text.includes(form));
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('does not open for another group, another wrapping key, or without one', async (context) => {
  const { store, path, open } = vendorKeysWorld(context);
  unwrap(await (await open()).put(VENDOR_KEY_DRAFT));
  const { value } = store.values.get('vendor-key/berlin')!;
  const moved = Buffer.from(Buffer.from(value).toString('utf8').replace('"berlin"', '"hamburg"'));
  store.values.set('vendor-key/hamburg', { name: 'vendor-key/hamburg', version: 1n, value: moved });
  const keys = await open();
  assert.equal(code(await takeKey(keys, 'hamburg', 'a')), 'VENDOR_KEY_SEALED');
  assert.equal(code(await takeKey(keys, 'berlin', 'a')), 'ok');
  unlinkSync(path);
  assert.equal(code(await takeKey(keys, 'berlin', 'b')), 'VENDOR_KEY_SEALED');
  // Not counted, and another file is another key.
  unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, group: 'dresden' }));
  assert.equal(code(await takeKey(keys, 'berlin', 'b')), 'VENDOR_KEY_SEALED');
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'b')).uses, 2);
});

const HOSTILE: readonly (readonly [string, Partial<typeof VENDOR_KEY_DRAFT>, string])[] = [
  ['no group', { group: '' }, 'FIELD_INVALID'],
  ['a group with a slash', { group: 'a/b' }, 'FIELD_INVALID'],
  ['a group of 63', { group: 'a'.repeat(63) }, 'ok'],
  ['a group of 64', { group: 'a'.repeat(64) }, 'FIELD_INVALID'],
  ['a key of 7', { key: 'k'.repeat(7) }, 'FIELD_INVALID'],
  ['a key of 8', { key: 'k'.repeat(8) }, 'ok'],
  ['a key of 4096', { key: 'k'.repeat(4096) }, 'ok'],
  ['a key of 4097', { key: 'k'.repeat(4097) }, 'FIELD_INVALID'],
  ['a key of two lines', { key: 'kkkkkkkk\nk' }, 'FIELD_INVALID'],
  ['no uses', { maxUses: 0 }, 'FIELD_INVALID'],
  ['10,000 uses', { maxUses: 10_000 }, 'ok'],
  ['10,001 uses', { maxUses: 10_001 }, 'FIELD_INVALID'],
  ['all used', { used: 5 }, 'ok'],
  ['more used than may be', { used: 6 }, 'FIELD_INVALID'],
  ['a control character', { description: 'a\u0007' }, 'FIELD_INVALID'],
];

for (const [what, change, expected] of HOSTILE) {
  test(`a key with ${what} is ${expected}`, async (context) => {
    const keys = await vendorKeysWorld(context).open();
    assert.equal(code(await keys.put({ ...VENDOR_KEY_DRAFT, ...change })), expected);
  });
}
