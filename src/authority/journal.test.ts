import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { unwrap } from '../base/result.ts';
import { decodeJournal, encodeJournal, type JournalEntry } from './journal.ts';

const entry: JournalEntry = {
  kind: 'x509',
  slot: 'x509-CA-A',
  state: 'active',
  authorityId: 'ab',
  publicKey: 'AAAA',
  certificate: 'AAAA',
  issuedAtSeconds: 1,
  notAfterSeconds: 2,
};
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const file = (extra: object) => bytes({ version: 2, entries: [{ ...entry, ...extra }] });

describe('journal of authorities', () => {
  test('reads back what it wrote', () => {
    const { certificate: _, ...jwt } = { ...entry, kind: 'jwt' as const };
    assert.deepEqual(unwrap(decodeJournal(encodeJournal([entry, jwt]))), [entry, jwt]);
  });

  test('no journal is an empty one', () => {
    assert.deepEqual(unwrap(decodeJournal(undefined)), []);
  });

  test('reads what version 1 wrote, where prepared meant published', () => {
    const old = (state: string) => bytes({ version: 1, entries: [{ ...entry, state }] });
    const more = { publishedSequence: 0, publishedAtSeconds: 1 };
    for (const [before, after] of [
      ['prepared', 'published'],
      ['active', 'active'],
      ['old', 'old'],
    ] as const) {
      assert.deepEqual(unwrap(decodeJournal(old(before))), [{ ...entry, ...more, state: after }]);
    }
    assert.equal(decodeJournal(old('tainted')).ok, false);
  });

  const hostile: readonly [string, Uint8Array][] = [
    ['no bytes', Buffer.alloc(0)],
    ['half of it', encodeJournal([entry]).subarray(0, 40)],
    ['another version', bytes({ version: 3, entries: [] })],
    ['an unknown state', file({ state: 'retired' })],
    ['an unknown kind', file({ kind: 'wit' })],
    ['an unknown key', file({ extra: 1 })],
    ['a key that is not base64', file({ publicKey: '*' })],
    ['a time that is no integer', file({ notAfterSeconds: 1.5 })],
    ['a list', bytes([])],
  ];
  for (const [name, journal] of hostile) {
    test(`refuses ${name}`, () => {
      const decoded = decodeJournal(journal);
      assert.equal(decoded.ok ? 'ok' : decoded.error.code, 'AUTHORITY_JOURNAL_CORRUPT');
    });
  }
});
