import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AGENT_TEST_DOMAIN, wireEntry } from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import { type AgentEntry, compareEntries, readEntry } from './entry.ts';
import { appliesTo, EntrySet } from './entry-set.ts';

function entry(id: string, selectors: readonly string[], revision = 0n): AgentEntry {
  return assertValue(
    readEntry(
      wireEntry(id, {
        revisionNumber: revision,
        selectors: selectors.map((value) => ({ type: 'unix', value })),
      }),
      AGENT_TEST_DOMAIN,
    ),
  );
}

function ids(entries: Iterable<{ readonly id: string }>): string[] {
  return [...entries].map(({ id }) => id).sort();
}

const SELECTOR = fc.constantFrom('uid:1', 'uid:22', 'gid:1', 'user:a', 'path:/x');

test('matching by the index finds what trying every entry finds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uniqueArray(SELECTOR, { minLength: 1 }), { maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(11), fc.boolean()), { maxLength: 10 }),
      fc.uniqueArray(SELECTOR),
      (all, changes, present) => {
        const set = new EntrySet();
        set.replaceAll(all.map((selectors, index) => entry(`e${index}`, selectors)));
        for (const [index, remove] of changes) {
          const selectors = all[index];
          if (remove) set.apply([], [`e${index}`]);
          else if (selectors) set.apply([entry(`e${index}`, selectors, 1n)], []);
        }
        const selectors = new Set(present.map((value) => `unix:${value}`));
        const naive = [...set.values()].filter((one) => appliesTo(one, selectors));
        assert.deepEqual(
          set.match(selectors).map(({ id }) => id),
          naive.sort(compareEntries).map(({ id }) => id),
        );
      },
    ),
  );
});

test('an entry applies when all its selectors are present, n-1 are not enough', () => {
  const set = new EntrySet();
  set.apply([entry('a', ['uid:1', 'gid:1', 'user:x'])], []);
  assert.deepEqual(ids(set.match(new Set(['unix:uid:1', 'unix:gid:1']))), []);
  assert.deepEqual(ids(set.match(new Set(['unix:uid:1', 'unix:gid:1', 'unix:user:x']))), ['a']);
});

test('an entry for storage elsewhere is not served', () => {
  const set = new EntrySet();
  const stored = assertValue(readEntry(wireEntry('a', { storeSvid: true }), AGENT_TEST_DOMAIN));
  set.apply([stored], []);
  assert.deepEqual(ids(set.match(new Set(['unix:uid:1000']))), []);
});

test('a change tells what is new, what was, and what is gone; the same again is no change', () => {
  const set = new EntrySet();
  const first = set.replaceAll([entry('a', ['uid:1']), entry('b', ['uid:1'])]);
  assert.deepEqual(ids(first.upserted), ['a', 'b']);
  const second = set.replaceAll([entry('b', ['uid:1'], 1n), entry('c', ['uid:1'])]);
  assert.deepEqual(ids(second.upserted), ['b', 'c']);
  assert.deepEqual(ids(second.replaced), ['a', 'b']);
  assert.deepEqual(second.removedIds, ['a']);
  const third = set.apply([entry('b', ['uid:1'], 1n)], ['nobody']);
  assert.deepEqual([third.upserted, third.replaced, third.removedIds], [[], [], []]);
  assert.equal(set.size, 2);
});
