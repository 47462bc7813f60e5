import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { AGENT_TEST_DOMAIN, wireEntry } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { compareEntries, readEntry, withUniqueHints } from './entry.ts';

function read(id: string, changes: Partial<Entry> = {}) {
  return assertValue(readEntry(wireEntry(id, changes), AGENT_TEST_DOMAIN));
}

test('WLAPI-37 an entry never federates with its own trust domain', () => {
  const entry = read('a', { federatesWith: ['example.org', 'spiffe://other.org', 'third.org'] });
  assert.deepEqual(
    entry.federatesWith.map(({ name }) => name),
    ['other.org', 'third.org'],
  );
});

test('an entry that workloads could not use is refused', () => {
  const refused: readonly [string, Partial<Entry>][] = [
    ['no id', { id: '' }],
    ['another trust domain', { spiffeId: { trustDomain: 'evil.org', path: '/a' } }],
    ['no SPIFFE ID', { spiffeId: undefined }],
    ['X509-5 no path', { spiffeId: { trustDomain: 'example.org', path: '' } }],
    ['dot segment', { spiffeId: { trustDomain: 'example.org', path: '/a/../b' } }],
    ['no selectors: would be everybody', { selectors: [] }],
    ['bad federation', { federatesWith: ['Other.org'] }],
    ['WLAPI-13 hint of 1025 bytes', { hint: 'x'.repeat(1025) }],
    ['WLAPI-13 hint of 1025 bytes in fewer characters', { hint: `${'é'.repeat(512)}x` }],
  ];
  for (const [name, changes] of refused) {
    const result = readEntry(wireEntry('a', changes), AGENT_TEST_DOMAIN);
    assert.equal(result.ok, false, name);
    assertRefused(result, 'AGENT_SERVER_ANSWER');
  }
  assert.equal(read('a', { hint: 'é'.repeat(512) }).hint.length, 512);
});

test('WLAPI-14 the oldest entry is first, then the lowest id', () => {
  const entries = [
    read('b', { createdAt: 5n }),
    read('a', { createdAt: 5n }),
    read('c', { createdAt: 4n }),
    read('d', { createdAt: 2n ** 40n }),
  ];
  assert.deepEqual(
    entries.sort(compareEntries).map(({ id }) => id),
    ['c', 'a', 'b', 'd'],
  );
});

test('WLAPI-12 of equal hints the first counts, and empty hints are not hints', () => {
  const entries = ['x', '', 'x', '', 'y'].map((hint, index) => read(String(index), { hint }));
  assert.deepEqual(
    withUniqueHints(entries).map(({ id }) => id),
    ['0', '1', '3', '4'],
  );
});
