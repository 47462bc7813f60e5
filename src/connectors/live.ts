import type { GroupStatus, SegmentConflict } from '../gen/signet/connector/v1/admin.ts';
import type {
  Command,
  ResourceVersion,
  SegmentHealth,
} from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { DiagnosticsTable } from './diagnostics.ts';
import type { JudgedState, LiveHealth } from './state.ts';

/** What is known of a connector by its open session on this server. */
export interface Presence extends LiveHealth {
  readonly remoteAddress: string;
  /** Unix milliseconds. */
  readonly openedAtMs: number;
  /** Unix milliseconds of its last message. */
  readonly lastHeardMs: number;
  readonly activeFlows: bigint;
  readonly loadPercent: number;
  /** What it accepted last; without those that it accepted none of. */
  versions(): ResourceVersion[];
  /** Of the targets of its segments, as far as it said and there was room. */
  segmentHealth(): SegmentHealth[];
}

/** How a segment is served. */
export interface SegmentStatus {
  readonly servedBy: readonly string[];
  /** Groups in which another segment stands in its place. */
  readonly conflicts: SegmentConflict[];
  /** Connectors that serve it and say that none of its targets is down. */
  readonly healthyConnectors: number;
}

/** How a group covers its segments, to be asked about many of them at one moment. */
export interface GroupCoverage {
  isServed(segmentId: string): boolean;
  /** Where another segment stands in its place; undefined where none does. */
  conflictOf(segmentId: string): SegmentConflict | undefined;
  /** Connectors that serve a segment and say that none of its targets is down. */
  healthyOf(segmentId: string): number;
}

/** The kinds of commands that sessions are given by {@link LiveConnectors.tell}. */
export type CommandKind = NonNullable<Command['kind']>;

/** Connectors as they are now: their records, with what their sessions on this server say. */
export interface LiveConnectors {
  stateOf(connector: ConnectorRecord): JudgedState;
  /** Undefined where it has no session open here. */
  presence(id: string): Presence | undefined;
  isOpen(id: string): boolean;
  /** Version of the segments that connectors of a group should have. */
  wantedSegments(group: string): string;
  groupStatus(name: string): GroupStatus;
  segmentStatus(segment: ConnectorSegment): SegmentStatus;
  /**
   * Gives a command to a connector's session; false where it has none here, or too many wait already.
   * Draining, resuming and revoking are changes of the record, which sessions tell by themselves.
   */
  tell(id: string, command: CommandKind): boolean;
  /** What connectors told when they were asked by this server. */
  readonly diagnostics: Pick<DiagnosticsTable, 'of'>;
  /** Calls `listener` with the IDs of connectors that changed, a few times a second at most. */
  onChange(listener: (ids: ReadonlySet<string>) => void): () => void;
}
