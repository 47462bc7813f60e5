import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { segmentOf } from '../../test/support/segment-vectors.ts';
import { ServerMessage } from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import { ServedIndex } from '../rules/connector/served-index.ts';
import { SegmentFeed, type SegmentMessages } from './segment-feed.ts';
import { toWireSegment } from './wire-segments.ts';

type Held = Map<string, unknown>;

/** What a connector has once it has taken these in. */
function applied(before: Held, { chunks }: SegmentMessages): Held {
  const held: Held = new Map();
  for (const [at, { bytes }] of chunks.entries()) {
    const { kind } = ServerMessage.decode(bytes);
    assert.equal(kind?.$case, 'segments');
    const { full, removedIds, segments } = kind.value;
    if (at === 0 && !full) for (const [id, segment] of before) held.set(id, segment);
    for (const id of removedIds) held.delete(id);
    for (const segment of segments) held.set(segment.id, segment);
  }
  return held;
}

const wireOf = (segments: ReadonlyMap<string, ConnectorSegment>): Held =>
  new Map([...segments].map(([id, segment]) => [id, toWireSegment(segment)]));

const sorted = (held: Held) => [...held].sort(([a], [b]) => (a < b ? -1 : 1));

/** Puts, deletes (no host), and reads the registry anew, between which connectors are told. */
const step = fc.record({
  id: fc.integer({ min: 0, max: 5 }).map((at) => `s${at}`),
  host: fc.option(fc.constantFrom('a.x.test', 'b.x.test', 'c.x.test'), { nil: undefined }),
  weight: fc.integer({ min: 0, max: 1 }),
  isAnew: fc.boolean(),
  isRead: fc.boolean(),
});

describe('the segments of a group, as they are sent', () => {
  it('after any changes have the version that a server has that reads them for the first time', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let index = new ServedIndex<ConnectorSegment>();
        const all = new Map<string, ConnectorSegment>();
        const view = { servedOf: () => index };
        const feed = new SegmentFeed('g', view);
        let [version, held]: [string, Held] = [feed.current.version, new Map()];
        for (const [at, { id, host, weight, isAnew, isRead }] of steps.entries()) {
          const revision = BigInt(at + 1);
          const createdRevision = all.get(id)?.createdRevision ?? revision;
          if (host === undefined) {
            all.delete(id);
            index.delete(id);
          } else {
            const made = segmentOf({ id, hosts: [host], weight, revision, createdRevision });
            all.set(id, made);
            index.put(made);
          }
          if (isAnew) index = new ServedIndex(all.values());
          if (!isRead) continue;
          const isOther = feed.refresh();
          assert.equal(isOther, feed.current.version !== version);
          assert.equal(feed.current.version, new SegmentFeed('g', view).current.version);
          held = applied(held, feed.messagesFrom(version));
          version = feed.current.version;
          assert.deepEqual(sorted(held), sorted(wireOf(index.served)));
          const full = applied(new Map(), feed.messagesFrom(''));
          assert.deepEqual(sorted(full), sorted(held));
        }
      }),
    );
  });
});
