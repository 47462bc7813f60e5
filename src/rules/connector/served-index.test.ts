import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { segmentOf } from '../../../test/support/segment-vectors.ts';
import { conflicting, servedSegments } from './conflicts.ts';
import { compareFits, matchFlow } from './match.ts';
import type { ConnectorSegment } from './segment.ts';
import { ServedIndex } from './served-index.ts';

const range = fc
  .tuple(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 0, max: 3 }))
  .map(([first, more]) => ({ first, last: first + more }));

/** Few of everything, so that most have something in common. */
const fields = fc.record({
  hosts: fc.uniqueArray(fc.constantFrom('a.x.test', 'b.x.test', 'C.x.test.', '10.0.0.0/31'), {
    minLength: 1,
    maxLength: 3,
  }),
  protocol: fc.constantFrom('tcp' as const, 'tcp' as const, 'udp' as const),
  ports: fc.array(range, { minLength: 1, maxLength: 2 }),
  priority: fc.constantFrom(0, 0, 0, 0, 1),
  weight: fc.integer({ min: 0, max: 1 }),
});

interface Step {
  readonly kind: 'put' | 'remake' | 'touch' | 'delete';
  readonly id: string;
  readonly fields: object;
}

const id = fc.integer({ min: 0, max: 9 }).map((at) => `s${at}`);
const kind = fc.constantFrom(
  'put' as const,
  'remake' as const,
  'touch' as const,
  'delete' as const,
);
const steps: fc.Arbitrary<readonly Step[]> = fc.array(fc.record({ kind, id, fields }), {
  maxLength: 60,
  size: 'max',
});

/** What a step makes of the segments. */
function taken(all: ReadonlyMap<string, ConnectorSegment>, step: Step, revision: bigint) {
  const after = new Map(all);
  const before = after.get(step.id);
  if (step.kind === 'delete') after.delete(step.id);
  else if (step.kind === 'touch') {
    if (before !== undefined) after.set(step.id, { ...before, weight: 7, revision });
  } else {
    // One that is made anew claims what the one before did, and is younger.
    const claims = step.kind === 'put' ? step.fields : (before ?? step.fields);
    const createdRevision = step.kind === 'put' ? (before?.createdRevision ?? revision) : revision;
    after.set(step.id, segmentOf({ ...claims, id: step.id, revision, createdRevision }));
  }
  return after;
}

/** The rule as it reads, by looking at every pair. */
function lookedAtAll(all: Iterable<ConnectorSegment>): readonly ConnectorSegment[] {
  const served: ConnectorSegment[] = [];
  const oldestFirst = [...all].sort((a, b) => (a.createdRevision < b.createdRevision ? -1 : 1));
  for (const one of oldestFirst) {
    if (!served.some((other) => areAlike(one, other))) served.push(one);
  }
  return served;
}

/** Whether some flow fits both and nothing tells which counts. */
function areAlike(one: ConnectorSegment, other: ConnectorSegment): boolean {
  const hosts = ['a.x.test', 'b.x.test', 'c.x.test', '10.0.0.0'];
  return one.ports.some((mine) =>
    other.ports.some((theirs) => {
      const from = Math.max(mine.first, theirs.first);
      if (from > Math.min(mine.last, theirs.last)) return false;
      const [a, b] = [
        { ...one, ports: [mine] },
        { ...other, ports: [theirs] },
      ];
      return hosts.some((host) => {
        const flow = { host, port: from, protocol: one.protocol };
        const [first, second] = matchFlow([a, b], flow);
        return first !== undefined && second !== undefined && compareFits(first, second) === 0;
      });
    }),
  );
}

const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : 1);

describe('what of a group is served', () => {
  it('after any changes is what it would be of all that is there, looked at anew', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const index = new ServedIndex<ConnectorSegment>();
        let now: ReadonlyMap<string, ConnectorSegment> = new Map();
        let revision = 0n;
        for (const step of all) {
          const before = new Map(index.served);
          const { position } = index;
          now = taken(now, step, ++revision);
          const after = now.get(step.id);
          if (after === undefined) index.delete(step.id);
          else index.put(after);
          const { served, conflicts } = servedSegments(now.values());
          assert.deepEqual([...index.served.values()].sort(byId), [...served].sort(byId));
          assert.deepEqual([...lookedAtAll(now.values())].sort(byId), [...served].sort(byId));
          const told = index.conflicts().map(({ segmentId }) => segmentId);
          assert.deepEqual(told.sort(), conflicts.map(({ segmentId }) => segmentId).sort());
          for (const one of conflicts) assert.deepEqual(index.conflictOf(one.segmentId), one);
          const changed = index.changedSince(position);
          for (const one of new Set([...before.keys(), ...index.served.keys()])) {
            if (before.get(one) !== index.served.get(one)) assert.ok(changed?.has(one), one);
          }
        }
      }),
    );
  });

  it('is refused to a draft by any that there is, served or not, but the one that it replaces', () => {
    fc.assert(
      fc.property(fc.array(fields, { maxLength: 8 }), id, fields, (all, name, draft) => {
        const there = all.map((one, at) =>
          segmentOf({ ...one, id: `s${at}`, createdRevision: BigInt(at + 1) }),
        );
        const wanted = segmentOf({ ...draft, id: name, createdRevision: 99n });
        const alike = there.filter((one) => one.id !== name && areAlike(one, wanted));
        const found = new ServedIndex(there).conflictWith(wanted);
        assert.equal(found !== undefined, alike.length > 0);
        if (found !== undefined) assert.ok(alike.some((one) => one.id === found.standingId));
      }),
    );
  });

  it('remembers its last 4,096 changes, and says so of older ones', () => {
    const index = new ServedIndex<ConnectorSegment>();
    const put = (revision: number) =>
      index.put(segmentOf({ id: 'a', weight: revision, revision: BigInt(revision) }));
    for (let at = 1; at < 8192; at++) put(at);
    assert.deepEqual([index.position, index.changedSince(0)?.size], [8191, 1]);
    put(8192);
    assert.equal(index.position, 8192);
    assert.deepEqual([...(index.changedSince(4096) ?? [])], ['a']);
    assert.equal(index.changedSince(4095), undefined);
    assert.deepEqual([...(index.changedSince(8192) ?? ['none'])], []);
  });

  it('the refusal names both, and what they claim', () => {
    const old = segmentOf({ id: 'old' });
    const found = new ServedIndex([old]).conflictWith({ ...old, id: 'new' });
    assert.ok(found);
    const refused = conflicting('edge', 'new', found);
    assert.ok(!refused.ok);
    assert.equal(refused.error.code, 'CONNECTOR_SEGMENT_CONFLICT');
    const claim = 'old.example.org, tcp port 443, with priority 0';
    assert.equal(refused.error.message, `group edge: segment new and old both claim ${claim}`);
  });
});
