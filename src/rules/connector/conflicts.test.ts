import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { segmentDraft } from '../../../test/support/connector-state.ts';
import { assertRefused } from '../../../test/support/refused.ts';
import { checkNewcomers, servedSegments } from './conflicts.ts';
import type { ConnectorSegment, ConnectorSegmentDraft, PortRange } from './segment.ts';
import { ServedIndex } from './served-index.ts';

const OLD = { ...segmentDraft('old'), hosts: ['db.example.org'], ports: [{ first: 5, last: 14 }] };

const made = (draft: ConnectorSegmentDraft, createdRevision: bigint): ConnectorSegment => ({
  ...draft,
  createdRevision,
  revision: createdRevision,
});

/** What a younger segment claims, and whether nothing tells it from the older one. */
const cases: readonly (readonly [string, Partial<ConnectorSegmentDraft>, boolean])[] = [
  ['the same ports', {}, true],
  [
    'as many ports, of which the last is the other’s first',
    {
      ports: [
        { first: 1, last: 5 },
        { first: 14, last: 23 },
      ],
    },
    true,
  ],
  ['as many ports, that begin one before', { ports: [{ first: 4, last: 13 }] }, true],
  ['as many ports, right after', { ports: [{ first: 15, last: 24 }] }, false],
  [
    'as many ports, of which the first is the other’s last',
    { ports: [{ first: 14, last: 23 }] },
    true,
  ],
  ['a narrower range, which counts', { ports: [{ first: 6, last: 14 }] }, false],
  ['another priority, which counts', { priority: OLD.priority + 1 }, false],
  ['another protocol', { protocol: 'udp' }, false],
  ['another host', { hosts: ['db2.example.org'] }, false],
  ['a wildcard above it, which gives way', { hosts: ['*.example.org'] }, false],
  [
    'the host among others, written otherwise',
    { hosts: ['a.example.org', 'DB.Example.org.'] },
    true,
  ],
];

describe('two segments of a group', () => {
  for (const [name, fields, conflict] of cases) {
    it(`${conflict ? 'conflict' : 'stand beside each other'}: ${name}`, () => {
      const young = { ...OLD, ...fields, id: 'young' };
      for (const [draft, other] of [
        [young, OLD],
        [OLD, young],
      ] as const) {
        const found = new ServedIndex([made(other, 1n)]).conflictWith(draft);
        assert.equal(found?.standingId, conflict ? other.id : undefined);
      }
      const { served, conflicts } = servedSegments([made(young, 2n), made(OLD, 1n)]);
      assert.deepEqual(
        served.map(({ id }) => id),
        conflict ? ['old'] : ['old', 'young'],
      );
      assert.deepEqual(
        conflicts.map(({ standingId }) => standingId),
        conflict ? ['old'] : [],
      );
    });
  }

  it('conflict where ranges of one width overlap, and only there', () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 12 }))
      .map(([first, more]): PortRange => ({ first, last: first + more }));
    const widthOf = ({ first, last }: PortRange): number => last - first;
    fc.assert(
      fc.property(range, range, (a, b) => {
        const overlap = a.first <= b.last && b.first <= a.last;
        const [one, other] = [
          { ...OLD, ports: [a] },
          { ...OLD, id: 'young', ports: [b] },
        ];
        const found = new ServedIndex([made(one, 1n)]).conflictWith(other);
        assert.equal(found === undefined, !(overlap && widthOf(a) === widthOf(b)));
      }),
    );
  });
});

describe('what a group may come to serve', () => {
  const [one, two, other] = [
    made(segmentDraft('one'), 1n),
    made(segmentDraft('two'), 2n),
    made(segmentDraft('other', { priority: 1 }), 3n),
  ];
  const cases: readonly (readonly [string, string[], ConnectorSegment[], boolean])[] = [
    ['nothing new, though two conflict already', ['one', 'two'], [one, two], true],
    ['fewer, though two conflict still', ['one', 'two', 'other'], [one, two], true],
    ['one more that conflicts with none', ['one', 'two'], [one, two, other], true],
    ['one more that would not be served', ['one'], [one, two], false],
    ['one more in whose place an older one goes', ['two'], [one, two], false],
    ['two that conflict', [], [one, two], false],
    ['one in place of another', ['one'], [two], true],
    ['none', ['one'], [], true],
  ];
  for (const [name, before, after, isFine] of cases) {
    it(`${isFine ? 'takes' : 'refuses'} ${name}`, () => {
      const checked = checkNewcomers('db', new Set(before), after);
      if (isFine) assert.ok(checked.ok);
      else assertRefused(checked, 'CONNECTOR_SEGMENT_CONFLICT');
    });
  }

  it('is what all of it, looked at as a whole, would say', () => {
    const some = fc.record({
      host: fc.constantFrom('a.example.org', 'b.example.org'),
      first: fc.integer({ min: 1, max: 3 }),
      isBefore: fc.boolean(),
      isAfter: fc.boolean(),
      age: fc.nat({ max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 7 }), (drafts) => {
        const all = drafts.map(({ host, first, age, isBefore, isAfter }, at) => {
          const ports = [{ first, last: first + 1 }];
          const draft = segmentDraft(`s${at}`, { hosts: [host], ports });
          return { isBefore, isAfter, segment: made(draft, BigInt(age)) };
        });
        const before = new Set(all.filter((one) => one.isBefore).map(({ segment }) => segment.id));
        const after = all.filter((one) => one.isAfter).map(({ segment }) => segment);
        const isRefused = servedSegments(after).conflicts.some(
          ({ segmentId, standingId }) => !before.has(segmentId) || !before.has(standingId),
        );
        assert.equal(checkNewcomers('db', before, after).ok, !isRefused);
      }),
    );
  });

  it('looks at the ports of what comes alone, where nothing of it overlaps', () => {
    let looks = 0;
    const there = made(segmentDraft('there', { hosts: ['there.example.org'] }), 1n);
    const counted = new Proxy(there, {
      get(target, name, self) {
        if (name === 'ports') looks++;
        return Reflect.get(target, name, self);
      },
    });
    const comes = made(segmentDraft('comes', { hosts: ['comes.example.org'] }), 2n);
    assert.ok(checkNewcomers('db', new Set(['there']), [counted, comes]).ok);
    assert.equal(looks, 0);
  });
});
