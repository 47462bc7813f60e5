/** Transport of a segment's flows. */
export type SegmentProtocol = 'tcp' | 'udp';

/** How a connector looks whether a target is up. */
export const SEGMENT_CHECKS = ['none', 'on-access', 'tcp', 'http', 'grpc'] as const;

/** Name of a check. */
export type SegmentCheck = (typeof SEGMENT_CHECKS)[number];

/** Ports, both inclusive. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A segment as somebody states it: what may be reached through which groups, by whom. */
export interface ConnectorSegmentDraft {
  /** Lower-case letters, digits, `-`, `.` and `/`; at most 253 characters. Stable. */
  readonly id: string;
  /** Exact names, wildcards (`*.example.org`, one label or more), addresses and CIDRs; lower case. */
  readonly hosts: readonly string[];
  readonly protocol: SegmentProtocol;
  readonly ports: readonly PortRange[];
  /** SPIFFE IDs, or all below one (`spiffe://td/path/*`); none is nobody. */
  readonly clients: readonly string[];
  /** Whether the connector opens TLS to the target with its SVID. */
  readonly upstreamTls: boolean;
  /** SPIFFE ID that the target has to show then. */
  readonly upstreamId: string;
  readonly healthCheck: SegmentCheck;
  readonly healthCheckIntervalSeconds: number;
  /** Path of an HTTP check, service of a gRPC check. */
  readonly healthCheckPath: string;
  /** No new flows. */
  readonly draining: boolean;
  /** Of two that match alike the higher one counts. */
  readonly priority: number;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Names of groups that serve it, besides those that select it by its labels. */
  readonly groups: readonly string[];
  /** Who made it: empty for operators, else the name of the object that it follows. */
  readonly origin: string;
}

/** A segment as the store has it. */
export interface ConnectorSegment extends ConnectorSegmentDraft {
  /** Greater with each write, and no other's: not that of one that was deleted and made anew. */
  readonly revision: bigint;
  /** Revision of its first write: of two that claim the same flows the older one stands. */
  readonly createdRevision: bigint;
}
