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
const file = (extra: object) => bytes({ version: 1, entries: [{ ...entry, ...extra }] });

describe('journal of authorities', () => {
  test('reads back what it wrote', () => {
    const { certificate: _, ...jwt } = { ...entry, kind: 'jwt' as const };
    assert.deepEqual(unwrap(decodeJournal(encodeJournal([entry, jwt]))), [entry, jwt]);
  });

  test('no journal is an empty one', () => {
    assert.deepEqual(unwrap(decodeJournal(undefined)), []);
  });

  const hostile: readonly [string, Uint8Array][] = [
    ['no bytes', Buffer.alloc(0)],
    ['half of it', encodeJournal([entry]).subarray(0, 40)],
    ['another version', bytes({ version: 2, entries: [] })],
    ['an unknown state', file({ state: 'published' })],
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
