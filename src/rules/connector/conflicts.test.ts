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
});
