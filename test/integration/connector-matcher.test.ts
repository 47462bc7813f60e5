import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SegmentTable, SegmentUnreadable } from '../../examples/connector/match.ts';
import type { Segment } from '../../examples/connector/wire.ts';
import type { ConnectorSegment } from '../../src/rules/connector/segment.ts';
import { segmentOf, segmentVectors } from '../support/segment-vectors.ts';

const UDP_OR_TCP = { tcp: 'PROTOCOL_TCP', udp: 'PROTOCOL_UDP' } as const;

/** As the server would send it. */
function onWire(segment: ConnectorSegment): Segment {
  const { upstreamTls, healthCheck, protocol, ...same } = segment;
  return {
    ...same,
    protocol: UDP_OR_TCP[protocol],
    upstreamTls: upstreamTls ? 'UPSTREAM_TLS_SVID' : 'UPSTREAM_TLS_NONE',
    healthCheck: `HEALTH_CHECK_KIND_${healthCheck.toUpperCase().replace('-', '_')}`,
  };
}

for (const { name, segments, withheld, flows } of segmentVectors()) {
  test(`the reference connector decides as the server: ${name}`, () => {
    const served = segments.filter(({ id }) => withheld[id] === undefined);
    const table = new SegmentTable(served.map(onWire));
    for (const { host, port, protocol, client, reason, segment } of flows) {
      const match = table.match(host, port, UDP_OR_TCP[protocol], client);
      const got = { reason: match.reason, segment: match.segment?.id ?? '' };
      assert.deepEqual(got, { reason, segment }, `${protocol} ${host}:${port} for ${client}`);
    }
  });
}

const plain = onWire(segmentOf({ id: 'odd' }));

test('a segment of a transport or TLS mode that is not known is not taken', () => {
  for (const odd of [{ protocol: 'PROTOCOL_UNSPECIFIED' }, { upstreamTls: '2' }]) {
    assert.throws(() => new SegmentTable([{ ...plain, ...odd }]), SegmentUnreadable);
  }
});

for (const host of [
  '',
  '*',
  '*.',
  '10.0.0.0/33',
  '10.0.0.0/x',
  '10.0.0.0/',
  '2001:db8::/129',
  'a b',
]) {
  test(`a segment with the host ${JSON.stringify(host)} is not taken`, () => {
    const segment = { ...plain, hosts: [host] };
    assert.throws(() => new SegmentTable([segment]), SegmentUnreadable);
  });
}
