import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carried, changeJson, changesOf, changeText, type Seen } from './changes.ts';
import type { State } from './judge.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);

function seen(states: readonly State[], more: Partial<Seen> = {}, name = 'map'): Seen {
  return {
    place: { context: 'c', source: 'cm', namespace: 'shop', name, key: undefined },
    trustDomain: 'example.org',
    states,
    sequence: '7',
    authorities: new Map([[A, false]]),
    ...more,
  };
}
const at = (...all: readonly Seen[]): ReadonlyMap<string, Seen> =>
  new Map(all.map((one) => [`c@cm/${one.place.namespace}/${one.place.name}`, one]));
const GOOD = seen(['InSync']);

for (const [what, before, now, kind, text] of [
  ['a copy that appeared', at(), at(GOOD), 'Appeared', 'c@cm/shop/map  new  InSync'],
  ['one that is gone', at(GOOD), at(), 'Gone', 'c@cm/shop/map  gone'],
  [
    'one that went stale',
    at(GOOD),
    at(seen(['Stale', 'Missing'])),
    'Stale',
    'c@cm/shop/map  InSync > Stale,Missing',
  ],
  ['one that expired', at(GOOD), at(seen(['Expired'])), 'Expired', undefined],
  ['one that became unreadable', at(GOOD), at(seen(['Unreadable'])), 'Unreadable', undefined],
  ['one that is in order again', at(seen(['Stale'])), at(GOOD), 'InSync', undefined],
  ['one trouble less', at(seen(['Extra', 'Stale'])), at(seen(['Stale'])), 'Changed', undefined],
  [
    'other authorities and sequence',
    at(GOOD),
    at(seen(['InSync'], { sequence: '8', authorities: new Map([[B, false]]) })),
    'Changed',
    'c@cm/shop/map  +bbbbbbbb  -aaaaaaaa  seq 7 > 8',
  ],
  [
    'an authority that was tainted',
    at(GOOD),
    at(seen(['Tainted'], { authorities: new Map([[A, true]]) })),
    'Tainted',
    'c@cm/shop/map  !aaaaaaaa  InSync > Tainted',
  ],
] as const) {
  test(`${what} is one change, ${kind}`, () => {
    const changes = changesOf(before, now);
    assert.deepEqual(
      changes.map((one) => one.kind),
      [kind],
    );
    if (text !== undefined) assert.deepEqual(changes.map(changeText), [text]);
  });
}

test('the same twice is no change', () => {
  assert.deepEqual(changesOf(at(GOOD), at(seen(['InSync']))), []);
});

test('copies of a source that was not let be listed are not gone', () => {
  const other = { ...GOOD, place: { ...GOOD.place, namespace: 'pay' } };
  const bundle = { ...GOOD, place: { ...GOOD.place, source: 'ctb' as const, namespace: '' } };
  const refused = (namespace: string): Seen => {
    const place = { ...GOOD.place, namespace, name: '*' };
    return seen(['Unreadable'], { place, authorities: new Map() });
  };
  const before = at(GOOD, other, bundle);
  const kindsAfter = (one: Seen): string[] =>
    changesOf(before, carried(before, at(one))).map(({ kind, name }) => `${kind} ${name}`);
  assert.deepEqual(kindsAfter(refused('*')), ['Unreadable c@cm/*/*', 'Gone c@cm//map']);
  assert.deepEqual(kindsAfter(refused('pay')), [
    'Unreadable c@cm/pay/*',
    'Gone c@cm/shop/map',
    'Gone c@cm//map',
  ]);
});

test('for programs a change says what was and what is', () => {
  const [change] = changesOf(at(GOOD), at(seen(['Extra'], { authorities: new Map([[B, false]]) })));
  assert.ok(change !== undefined);
  assert.deepEqual(changeJson(change), {
    change: 'Extra',
    ref: 'cm/shop/map',
    context: 'c',
    source: 'cm',
    namespace: 'shop',
    name: 'map',
    trustDomain: 'example.org',
    states: ['Extra'],
    statesBefore: ['InSync'],
    sequence: '7',
    sequenceBefore: '7',
    came: [B],
    went: [A],
    tainted: [],
  });
});
