import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { segmentOf, segmentVectors } from '../../../test/support/segment-vectors.ts';
import { servedSegments } from './conflicts.ts';
import { compareFits, decideFlow, isClientOf, matchFlow } from './match.ts';
import type { ConnectorSegment } from './segment.ts';
import { ServedIndex } from './served-index.ts';

describe('flows and segments: the table', () => {
  for (const { name, segments, withheld, flows } of segmentVectors()) {
    it(name, () => {
      const { served, conflicts } = servedSegments([...segments].reverse());
      const kept = conflicts.map(({ segmentId, standingId }) => [segmentId, standingId]);
      assert.deepEqual(Object.fromEntries(kept), withheld);
      for (const flow of flows) {
        const { allowed, reason, segment } = decideFlow(served, flow, flow.client);
        const said = { allowed, reason, segment: segment?.id ?? '' };
        const { host, port, client } = flow;
        const expected = { allowed: flow.allowed, reason: flow.reason, segment: flow.segment };
        assert.deepEqual(said, expected, `${client} to ${host}:${port}`);
      }
    });
  }
});

const HOSTS = [
  ...['a.x.test', 'b.x.test', 'a.b.x.test', '*.x.test', '*.b.x.test', '*.a.b.x.test'],
  ...['10.0.0.1', '10.0.0.0/31', '10.0.0.0/24', '0.0.0.0/0', '::1', '::/0'],
];
const FLOW_HOSTS = [
  ...['a.x.test', 'b.x.test', 'a.b.x.test', 'c.a.b.x.test', 'x.test'],
  ...['10.0.0.0', '10.0.0.1', '10.0.0.2', '192.0.2.1', '::1', '::2'],
];

const range = fc
  .tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 4 }))
  .map(([first, more]) => ({ first, last: first + more }));

const segment = fc.record({
  hosts: fc.uniqueArray(fc.constantFrom(...HOSTS), { minLength: 1, maxLength: 3 }),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
  ports: fc.uniqueArray(range, {
    minLength: 1,
    maxLength: 3,
    selector: ({ first, last }) => `${first}-${last}`,
  }),
  priority: fc.integer({ min: 0, max: 1 }),
  draining: fc.boolean(),
});

const segments = fc
  .array(segment, { maxLength: 8 })
  .map((drafts) =>
    drafts.map((draft, at) => segmentOf({ id: `s${at}`, ...draft, createdRevision: BigInt(at) })),
  );

const flow = fc.record({
  host: fc.constantFrom(...FLOW_HOSTS),
  port: fc.integer({ min: 1, max: 13 }),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
});

describe('flows and segments: properties', () => {
  it('no flow has two served segments that nothing tells apart', () => {
    fc.assert(
      fc.property(segments, flow, (all, wanted) => {
        const [first, second] = matchFlow(servedSegments(all).served, wanted);
        if (first === undefined || second === undefined) return;
        assert.ok(compareFits(first, second) < 0, `${first.segment.id} ${second.segment.id}`);
      }),
    );
  });

  it('every segment is served or gives way to an older one that is, whatever the order they come in', () => {
    fc.assert(
      fc.property(segments, (all) => {
        const { served, conflicts } = servedSegments(all);
        const ids = new Set(served.map(({ id }) => id));
        assert.equal(ids.size + conflicts.length, all.length);
        const revisions = new Map(all.map(({ id, createdRevision }) => [id, createdRevision]));
        for (const { segmentId, standingId } of conflicts) {
          assert.ok(ids.has(standingId) && !ids.has(segmentId));
          assert.ok((revisions.get(standingId) ?? 0n) < (revisions.get(segmentId) ?? 0n));
        }
        assert.deepEqual(servedSegments([...all].reverse()), { served, conflicts });
      }),
    );
  });

  it('a write is refused exactly where the newest of the served segments would give way', () => {
    fc.assert(
      fc.property(segments, segment, (all, draft) => {
        const { served } = servedSegments(all);
        const newest = segmentOf({ id: 'new', ...draft, createdRevision: 100n });
        const refused = new ServedIndex(served).conflictWith(newest);
        const { conflicts } = servedSegments([...served, newest]);
        assert.deepEqual(refused && [{ segmentId: 'new', ...refused }], conflicts[0] && conflicts);
        if (refused !== undefined) {
          const other = served.filter(({ id }) => id === refused.standingId);
          assert.notEqual(new ServedIndex(other).conflictWith(newest), undefined);
        }
      }),
    );
  });

  it('the order of segments changes no decision', () => {
    fc.assert(
      fc.property(segments, flow, (all, wanted) => {
        const { served } = servedSegments(all);
        const forth = decideFlow(served, wanted, undefined);
        const back = decideFlow([...served].reverse(), wanted, undefined);
        assert.deepEqual(back, forth);
      }),
    );
  });

  it('adding a segment allows nothing but what the new one decides itself', () => {
    fc.assert(
      fc.property(segments, segment, flow, (all, draft, wanted) => {
        const before = decideFlow(servedSegments(all).served, wanted, undefined);
        const added = segmentOf({ id: 'new', ...draft, createdRevision: 100n });
        const after = decideFlow(servedSegments([...all, added]).served, wanted, undefined);
        if (after.segment?.id !== 'new') assert.deepEqual(after.segment, before.segment);
      }),
    );
  });

  it('a segment does not conflict with the version of itself that it replaces', () => {
    const old = segmentOf({ id: 'db' });
    assert.equal(new ServedIndex([old]).conflictWith({ ...old, priority: 0 }), undefined);
  });

  it('a client is itself or below, and a path that only begins alike is not', () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join('/'));
    fc.assert(
      fc.property(path, path, (above, below) => {
        const [parent, child] = [`spiffe://td.test/${above}`, `spiffe://td.test/${below}`];
        const parts = (text: string) => text.split('/');
        const inside =
          parts(below).length > parts(above).length &&
          parts(above).every((part, at) => part === parts(below)[at]);
        assert.equal(isClientOf([`${parent}/*`], child), inside);
        assert.equal(isClientOf([parent], child), parent === child);
      }),
    );
  });

  it('ten thousand segments of one host are told apart at once', () => {
    const many: ConnectorSegment[] = Array.from({ length: 10_000 }, (_, at) =>
      segmentOf({
        id: `s${at}`,
        hosts: ['db.x.test'],
        ports: [{ first: at + 1, last: at + 1 }],
        createdRevision: BigInt(at),
      }),
    );
    const last = segmentOf({ id: 'late', hosts: ['db.x.test'], ports: [{ first: 77, last: 77 }] });
    const { served, conflicts } = servedSegments([...many, { ...last, createdRevision: 10_001n }]);
    assert.equal(served.length, 10_000);
    assert.deepEqual(
      conflicts.map(({ standingId }) => standingId),
      ['s76'],
    );
  });
});
