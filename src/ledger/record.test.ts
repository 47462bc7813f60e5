import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MemoryFiles, makeNoteSigner, openTestLedger } from '../../test/support/ledger.ts';
import { utf8 } from '../base/bytes.ts';
import { type Result, unwrap } from '../base/result.ts';
import { auditLedger } from './audit.ts';
import { LOG_FOLDER } from './files.ts';
import { decodeRecord, encodeRecord, type LedgerRecord } from './record.ts';
import { type RecordFilter, searchRecords } from './search.ts';

const RECORD: LedgerRecord = {
  kind: 'x509',
  timeMs: 1_800_000_000_123,
  spiffeId: 'spiffe://example.org/web',
  serial: '0a1b',
  authorityId: 'ff00',
  entryId: 'entry-1',
  entryRevision: '18446744073709551615',
  agentId: 'spiffe://example.org/spire/agent/join_token/1',
  podUid: '5c0a4ac7-0000-4000-8000-000000000001',
  requestedBy: 'agent:spiffe://example.org/spire/agent/join_token/1',
  notBefore: 1_800_000_000,
  notAfter: 1_800_003_600,
  tbsHash: 'ab'.repeat(32),
};

test('a record has one encoding, whatever order its fields came in', () => {
  const reversed = Object.fromEntries(Object.entries(RECORD).reverse()) as unknown as LedgerRecord;
  assert.deepEqual(encodeRecord(reversed), encodeRecord(RECORD));
  assert.equal(
    `${encodeRecord({ kind: 'act', timeMs: 1, act: 'ban', spiffeId: 'spiffe://a/b' })}`,
    '{"v":1,"kind":"act","timeMs":1,"act":"ban","spiffeId":"spiffe://a/b"}',
  );
});

test('records read back as they were written', () => {
  const text = fc.option(fc.string({ minLength: 1, unit: 'grapheme' }), { nil: undefined });
  fc.assert(
    fc.property(text, text, fc.maxSafeNat(), (entryId, podUid, timeMs) => {
      const record = { ...RECORD, entryId, podUid, timeMs };
      const back = unwrap(decodeRecord(encodeRecord(record)));
      assert.deepEqual(encodeRecord(back), encodeRecord(record));
      assert.equal(back.podUid, podUid);
    }),
  );
});

describe('a record is refused', () => {
  const good = `${encodeRecord(RECORD)}`;
  const cases: readonly (readonly [string, string])[] = [
    ['empty', ''],
    ['no object', '[]'],
    ['null', 'null'],
    ['with a space', good.replace(',', ', ')],
    ['with a field twice', good.replace('"kind"', '"v":1,"kind"')],
    ['with fields in another order', good.replace('"v":1,"kind":"x509"', '"kind":"x509","v":1')],
    ['with a field that is none', good.replace('}', ',"extra":1}')],
    ['of another version', good.replace('"v":1', '"v":2')],
    ['of another kind', good.replace('"x509"', '"x510"')],
    ['without a time', good.replace('"timeMs":1800000000123,', '')],
    ['with a number for text', good.replace('"entry-1"', '1')],
    ['with capital hexadecimal', good.replace('0a1b', '0A1B')],
    ['with half an octet', good.replace('0a1b', '0a1')],
    ['with a fraction', good.replace('1800003600', '1800003600.5')],
    ['with a negative time', good.replace('1800003600', '-1')],
    ['with a number that JSON rounds', good.replace('1800003600', '9007199254740993')],
    ['with leading zeros', good.replace('18446744073709551615', '018')],
    ['with an escape that is not needed', good.replace('entry-1', '\\u0065ntry-1')],
    ['with an empty text', good.replace('entry-1', '')],
    ['with an unknown act', good.replace('"spiffeId"', '"act":"praise","spiffeId"')],
    ['with a tail', `${good}\n`],
    ['with __proto__', good.replace('}', ',"__proto__":{}}')],
  ];
  for (const [what, text] of cases) {
    test(what, () => {
      assert.notEqual(text, good);
      const record = decodeRecord(utf8(text));
      assert.equal(!record.ok && record.error.code, 'LEDGER_RECORD_INVALID');
    });
  }
});

const records = Array.from({ length: 500 }, (_, at): LedgerRecord => {
  return {
    ...RECORD,
    timeMs: 1_800_000_000_000 + at * 1000,
    spiffeId: `spiffe://example.org/w/${at % 10}`,
    serial: at.toString(16).padStart(8, '0'),
    podUid: at % 100 === 7 ? 'pod-7' : undefined,
  };
});

async function ledgerOf(all: readonly LedgerRecord[]) {
  const files = new MemoryFiles();
  const signer = makeNoteSigner();
  const ledger = unwrap(await openTestLedger({ files, signer, segmentBytes: 20_000 }));
  for (let at = 0; at < all.length; at += 9) {
    const batch = all.slice(at, at + 9);
    const entries = batch.map((each) => ({ bytes: encodeRecord(each), timeMs: each.timeMs }));
    unwrap(await ledger.append(entries));
  }
  await ledger.close();
  return { files, checkpoint: ledger.checkpoint };
}

describe('a search', async () => {
  const { files } = await ledgerOf(records);
  const find = async (filter: RecordFilter, size = 500): Promise<readonly number[]> => {
    const found: number[] = [];
    const searched = await searchRecords(files, { first: 0, size }, filter, ({ index }) => {
      found.push(index);
      return true;
    });
    unwrap(searched);
    return found;
  };
  const at = (index: number): number => 1_800_000_000_000 + index * 1000;

  test('finds by serial, SPIFFE ID, agent, pod and time, and by all together', async () => {
    assert.deepEqual(await find({ serials: ['000000ff'] }), [255]);
    assert.deepEqual(await find({ serials: ['00000001', '00000101'] }), [1, 257]);
    assert.equal((await find({ spiffeId: 'spiffe://example.org/w/3' })).length, 50);
    assert.equal((await find({ agentId: RECORD.agentId })).length, 500);
    assert.deepEqual(await find({ podUid: 'pod-7' }), [7, 107, 207, 307, 407]);
    assert.deepEqual(await find({ sinceMs: at(100), untilMs: at(103) }), [100, 101, 102]);
    assert.deepEqual(await find({ podUid: 'pod-7', sinceMs: at(108), untilMs: at(307) }), [207]);
    assert.equal((await find({})).length, 500);
  });

  test('does not take a part of a value for the value', async () => {
    assert.deepEqual(await find({ spiffeId: 'spiffe://example.org/w' }), []);
    assert.deepEqual(await find({ podUid: 'pod' }), []);
    assert.deepEqual(await find({ serials: [RECORD.tbsHash ?? ''] }), []);
  });

  test('finds nothing behind the checkpoint, and stops when told', async () => {
    assert.equal((await find({}, 100)).length, 100);
    let told = 0;
    const stop = (): boolean => {
      told += 1;
      return told < 3;
    };
    unwrap(await searchRecords(files, { first: 20, size: 500 }, {}, stop));
    assert.equal(told, 3);
  });

  test('lets others have their turn before it is through', async () => {
    let others = 0;
    setImmediate(() => {
      others += 1;
    });
    // Files in memory answer at once: without giving way nobody comes in between.
    await find({ podUid: 'none' });
    assert.equal(others, 1);
  });
});

describe('an audit', async () => {
  const { files, checkpoint } = await ledgerOf(records);
  const code = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);
  const altered = (name: string, change: (bytes: Buffer) => void): MemoryFiles => {
    const content = new Map(files.afterKill());
    change(content.get(name) ?? Buffer.alloc(0));
    return new MemoryFiles(content);
  };
  const [first = ''] = unwrap(await files.list(LOG_FOLDER));

  test('reads all records and comes to the root of the checkpoint', async () => {
    assert.deepEqual(unwrap(await auditLedger(files, checkpoint)), { first: 0, records: 500 });
  });

  test('refuses an altered record, hash file, root and a log that is too short', async () => {
    const log = altered(`${LOG_FOLDER}/${first}`, (bytes) => bytes.write('X', 100));
    assert.equal(code(await auditLedger(log, checkpoint)), 'LEDGER_CORRUPT');
    const hashes = altered('ledger/hashes/0', (bytes) => bytes.fill(1, 499 * 32));
    assert.equal(code(await auditLedger(hashes, checkpoint)), 'LEDGER_CORRUPT');
    const root = new Uint8Array(32);
    assert.equal(code(await auditLedger(files, { ...checkpoint, root })), 'LEDGER_FORKED');
    const size = 501;
    assert.equal(code(await auditLedger(files, { ...checkpoint, size })), 'LEDGER_ROLLED_BACK');
  });

  test('goes by the kept hashes where bodies were dropped', async () => {
    const content = new Map(files.afterKill());
    content.delete(`${LOG_FOLDER}/${first}`);
    const report = unwrap(await auditLedger(new MemoryFiles(content), checkpoint));
    assert.ok(report.first > 0);
    assert.equal(report.first + report.records, 500);
  });
});
