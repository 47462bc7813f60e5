import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Killer } from '../../../test/support/killer.ts';
import {
  takeKey,
  VENDOR_KEY,
  VENDOR_KEY_DRAFT,
  vendorKeysWorld,
} from '../../../test/support/vendor-keys.ts';
import { systemRandom } from '../../base/random.ts';
import { fail, ok, type Result, unwrap } from '../../base/result.ts';
import { createFileWrapper } from '../../keys/file-wrapper.ts';
import type { KeptValueStore } from '../../store/kept-values.ts';
import { MAX_VENDOR_KEY_USES } from './key-record.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const NAME = 'vendor-key/berlin';

/** Says no from the given question on. */
function until(asked: number): () => Result<void> {
  let times = 0;
  return () => (times++ < asked ? ok(undefined) : fail('VENDOR_KEY_DENIED', 'revoked'));
}

test('a key that another server took in, replaced or deleted is so here at the next call', async (context) => {
  const { open } = vendorKeysWorld(context);
  const [one, other] = [await open(), await open()];
  unwrap(await one.put(VENDOR_KEY_DRAFT));
  assert.equal(code(await takeKey(other, 'berlin', 'a')), 'ok');
  unwrap(await one.put({ ...VENDOR_KEY_DRAFT, key: 'k'.repeat(8) }));
  assert.equal(unwrap(await takeKey(other, 'berlin', 'a')).key, 'k'.repeat(8));
  unwrap(await one.delete('berlin'));
  assert.equal(code(await takeKey(other, 'berlin', 'a')), 'VENDOR_KEY_NONE');
  unwrap(await one.put({ ...VENDOR_KEY_DRAFT, group: 'hamburg' }));
  assert.deepEqual(
    unwrap(await other.listNow()).map(({ group }) => group),
    ['hamburg'],
  );
  assert.equal(unwrap(await other.delete('hamburg')), true);
  assert.deepEqual(unwrap(await one.listNow()), []);
});

test('a store that cannot be read gives out nothing, to nobody who had it either', async (context) => {
  const { open, store } = vendorKeysWorld(context);
  let isDown = false;
  const failing: KeptValueStore = {
    loadKeptValues: async () => (isDown ? fail('STORE_IO', 'gone') : store.loadKeptValues()),
    writeKeptValue: (write) => store.writeKeptValue(write),
  };
  const keys = await open(failing);
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  unwrap(await takeKey(keys, 'berlin', 'a'));
  isDown = true;
  assert.equal(code(await takeKey(keys, 'berlin', 'a')), 'STORE_IO');
  isDown = false;
  assert.equal(code(await takeKey(keys, 'berlin', 'a')), 'ok');
});

test('one who may not have it when its turn comes gets none and costs no use', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  const denied = await takeKey(keys, 'berlin', 'a', { mayHave: until(0) });
  assert.equal(code(denied), 'VENDOR_KEY_DENIED');
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'b')).uses, 1);
});

test('one who is revoked while its use is counted gets none, first time or again', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  for (const _ of ['first', 'again']) {
    const denied = await takeKey(keys, 'berlin', 'a', { mayHave: until(1) });
    assert.equal(code(denied), 'VENDOR_KEY_DENIED');
    assert.ok(!JSON.stringify(denied).includes(VENDOR_KEY));
  }
  // Counted all the same: better one too many than one too few.
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'b')).uses, 2);
});

test('a hand-out is on record before it is counted, once, or there is none', async (context) => {
  const { open, store } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  const recordFails = async () => fail('LEDGER_IO', 'the disk is full');
  assert.equal(code(await takeKey(keys, 'berlin', 'a', { record: recordFails })), 'LEDGER_IO');
  const seen: (bigint | undefined)[] = [];
  const record = async () => {
    seen.push(store.values.get(NAME)?.version);
    return ok(undefined);
  };
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'a', { record })).uses, 1);
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'a', { record })).uses, 1);
  assert.deepEqual(seen, [1n]);
});

test('a use that another server counts in between is no second record', async (context) => {
  const { open, store } = vendorKeysWorld(context);
  unwrap(await (await open()).put(VENDOR_KEY_DRAFT));
  const rival = await open();
  let isFirst = true;
  const contended: KeptValueStore = {
    loadKeptValues: () => store.loadKeptValues(),
    async writeKeptValue(write) {
      if (isFirst) unwrap(await takeKey(rival, 'berlin', 'rival'));
      isFirst = false;
      return store.writeKeptValue(write);
    },
  };
  let records = 0;
  const record = async () => {
    records += 1;
    return ok(undefined);
  };
  const keys = await open(contended);
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'a', { record })).uses, 2);
  assert.equal(records, 1);
});

test('killed before or after the use is durable, it is counted once for who asks again', async (context) => {
  for (const step of [1, 2]) {
    const { open, store } = vendorKeysWorld(context);
    unwrap(await (await open()).put(VENDOR_KEY_DRAFT));
    const killer = new Killer(step);
    const dying: KeptValueStore = {
      loadKeptValues: () => store.loadKeptValues(),
      writeKeptValue: (write) => killer.around(() => store.writeKeptValue(write)),
    };
    void takeKey(await open(dying), 'berlin', 'a');
    await killer.died.promise;
    const again = await open();
    assert.equal(unwrap(await takeKey(again, 'berlin', 'a')).uses, 1, `step ${step}`);
    assert.equal(unwrap(await takeKey(again, 'berlin', 'b')).uses, 2, `step ${step}`);
  }
});

test('what throws once ends its own call alone', async (context) => {
  const { open, path } = vendorKeysWorld(context);
  const wrapper = createFileWrapper(path, systemRandom);
  let throws = true;
  const wrap: typeof wrapper.wrap = async (...args) => {
    if (!throws) return wrapper.wrap(...args);
    throws = false;
    throw new TypeError('a fault of the driver');
  };
  const tools = { trustDomain: 'example.org', wrapper: { ...wrapper, wrap }, random: systemRandom };
  const keys = await open(undefined, { tools });
  await assert.rejects(keys.put(VENDOR_KEY_DRAFT), TypeError);
  assert.equal(code(await keys.put(VENDOR_KEY_DRAFT)), 'ok');
});

for (const [maxUses, before] of [
  [10, 6],
  [5, 2],
  [7, 4],
  [100, 78],
  [MAX_VENDOR_KEY_USES, 7998],
] as const) {
  test(`of ${maxUses} uses, number ${before + 1} is not told of, the next one is, the one after not again`, async (context) => {
    const { open, warnings } = vendorKeysWorld(context);
    const keys = await open();
    unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, maxUses, used: before }));
    for (const [id, told] of [
      ['n-1', 0],
      ['n', 1],
      ['n+1', 1],
    ] as const) {
      const given = await takeKey(keys, 'berlin', id);
      assert.equal(code(given), 'ok');
      assert.equal(warnings.length, told, id);
    }
  });
}

test('a limit that was lowered below the uses is used up, not passed round', async (context) => {
  const { open } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  for (const id of ['a', 'b']) unwrap(await takeKey(keys, 'berlin', id));
  unwrap(await keys.put({ ...VENDOR_KEY_DRAFT, maxUses: 1 }));
  assert.equal(code(await takeKey(keys, 'berlin', 'c')), 'VENDOR_KEY_EXHAUSTED');
  assert.equal(unwrap(await takeKey(keys, 'berlin', 'a')).uses, 2);
});

/** What somebody who can write to the database makes of what is kept. */
const TAMPERED: readonly (readonly [string, (kept: Record<string, unknown>) => unknown, string])[] =
  [
    ['of a newer program', (kept) => ({ ...kept, v: 2 }), 'VENDOR_KEY_SEALED'],
    ['with a negative count', (kept) => ({ ...kept, used: -1 }), 'VENDOR_KEY_SEALED'],
    ['with no uses at all', (kept) => ({ ...kept, maxUses: 0 }), 'VENDOR_KEY_SEALED'],
    [
      'with a use too many',
      (kept) => ({ ...kept, maxUses: MAX_VENDOR_KEY_USES + 1 }),
      'VENDOR_KEY_SEALED',
    ],
    ['of another group', (kept) => ({ ...kept, group: 'hamburg' }), 'VENDOR_KEY_SEALED'],
    ['of another key', (kept) => ({ ...kept, fingerprint: 'f'.repeat(16) }), 'VENDOR_KEY_SEALED'],
    ['with a box cut short', (kept) => ({ ...kept, box: '' }), 'VENDOR_KEY_SEALED'],
    ['that is no object', () => [], 'VENDOR_KEY_SEALED'],
    ['as it was', (kept) => kept, 'ok'],
  ];

for (const [what, change, expected] of TAMPERED) {
  test(`a kept key ${what} is ${expected}, and giving the key again heals it`, async (context) => {
    const { open, store } = vendorKeysWorld(context);
    const keys = await open();
    unwrap(await keys.put(VENDOR_KEY_DRAFT));
    const kept = store.values.get(NAME)!;
    const text = JSON.stringify(change(JSON.parse(Buffer.from(kept.value).toString('utf8'))));
    store.values.set(NAME, { ...kept, value: Buffer.from(text) });
    assert.equal(code(await takeKey(keys, 'berlin', 'a')), expected);
    unwrap(await keys.put(VENDOR_KEY_DRAFT));
    assert.equal(unwrap(await takeKey(keys, 'berlin', 'a')).key, VENDOR_KEY);
  });
}

test('every octet of what is sealed counts', async (context) => {
  const { open, store } = vendorKeysWorld(context);
  const keys = await open();
  unwrap(await keys.put(VENDOR_KEY_DRAFT));
  const kept = store.values.get(NAME)!;
  const said = JSON.parse(Buffer.from(kept.value).toString('utf8'));
  for (const field of ['box', 'wrappedKey']) {
    const bytes = Buffer.from(said[field], 'base64');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ 1;
      const text = JSON.stringify({ ...said, [field]: changed.toString('base64') });
      store.values.set(NAME, { ...kept, value: Buffer.from(text) });
      assert.equal(code(await takeKey(keys, 'berlin', 'a')), 'VENDOR_KEY_SEALED', `${field} ${at}`);
    }
  }
});
