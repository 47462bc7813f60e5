import { readFileSync } from 'node:fs';
import type { FlowReason } from '../../src/rules/connector/match.ts';
import type { ConnectorSegment } from '../../src/rules/connector/segment.ts';

/** A flow of the table, and what has to be decided about it. */
export interface FlowVector {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly client: string;
  readonly allowed: boolean;
  /** Empty where none fits. */
  readonly segment: string;
  readonly reason: FlowReason;
}

/** One case of the table. */
export interface SegmentVectorCase {
  readonly name: string;
  readonly segments: readonly ConnectorSegment[];
  /** Segments that are not served, with the one that stands. */
  readonly withheld: Readonly<Record<string, string>>;
  readonly flows: readonly FlowVector[];
}

/** A segment with these fields and plain values for the rest. */
export function segmentOf(fields: Partial<ConnectorSegment> & { id: string }): ConnectorSegment {
  return {
    hosts: [`${fields.id}.example.org`],
    protocol: 'tcp',
    ports: [{ first: 443, last: 443 }],
    clients: ['spiffe://example.org/app'],
    upstreamTls: false,
    upstreamId: '',
    healthCheck: 'none',
    healthCheckIntervalSeconds: 0,
    healthCheckPath: '',
    draining: false,
    priority: 0,
    weight: 0,
    labels: {},
    groups: [],
    origin: '',
    revision: 1n,
    createdRevision: 1n,
    ...fields,
  };
}

interface Table {
  readonly client: string;
  readonly cases: readonly {
    readonly name: string;
    readonly withheld?: Readonly<Record<string, string>>;
    readonly segments: readonly (Omit<Partial<ConnectorSegment>, 'ports'> & {
      readonly id: string;
      readonly ports: readonly (readonly [number, number])[];
    })[];
    readonly flows: readonly (Omit<FlowVector, 'protocol' | 'client'> & Partial<FlowVector>)[];
  }[];
}

/** The table of `segment-vectors.json`, which every implementation of the rules is held to. */
export function segmentVectors(): readonly SegmentVectorCase[] {
  const file = new URL('./segment-vectors.json', import.meta.url);
  const { cases, client }: Table = JSON.parse(readFileSync(file, 'utf8'));
  return cases.map(({ name, withheld = {}, segments, flows }) => ({
    name,
    withheld,
    segments: segments.map((segment, at) =>
      segmentOf({
        clients: [client],
        ...segment,
        ports: segment.ports.map(([first, last]) => ({ first, last })),
        createdRevision: BigInt(at + 1),
      }),
    ),
    flows: flows.map((flow) => ({ protocol: 'tcp', client, ...flow })),
  }));
}
