import type { GroupStatus, SegmentConflict } from '../gen/signet/connector/v1/admin.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorSegment } from '../rules/connector/segment.ts';
import type { GroupCoverage, SegmentStatus } from './live.ts';
import type { SegmentVersion } from './segment-feed.ts';
import type { ConnectorSession } from './session.ts';
import type { JudgedState } from './state.ts';

/** Healthy connectors below which a segment counts as thin: one that leaves must not take it along. */
const THIN_BELOW = 2;

/** What the status of groups and segments follows from. */
export interface StatusSources {
  readonly view: Pick<ConnectorView, 'connectorsIn' | 'groupsOf' | 'servedOf'>;
  stateOf(connector: ConnectorRecord): JudgedState;
  segments(group: string): SegmentVersion;
  sessionsOf(group: string): Iterable<ConnectorSession>;
}

/** How a group stands: its connectors by state, and how well they serve its segments. */
export function groupStatusOf(sources: StatusSources, group: string): GroupStatus {
  const { version, served } = sources.segments(group);
  const connectors: Record<string, number> = {};
  let oldest = 0;
  let lastError = '';
  for (const connector of sources.view.connectorsIn(group)) {
    const { state, reason } = sources.stateOf(connector);
    connectors[state] = (connectors[state] ?? 0) + 1;
    if (state === 'degraded' && reason !== '') lastError = `${connector.id}: ${reason}`;
    const { expiresAtSeconds } = connector;
    const hasEnded = state === 'pending' || state === 'expired' || state === 'stopped';
    if (hasEnded || state === 'revoked') continue;
    if (oldest === 0 || expiresAtSeconds < oldest) oldest = expiresAtSeconds;
  }
  const { healthy, down, upToDate, activeFlows } = coverage(sources, group, version);
  let thin = 0;
  for (const id of served.keys()) if (healthy - (down.get(id) ?? 0) < THIN_BELOW) thin++;
  return {
    connectors,
    oldestCertificateExpiresAt: BigInt(oldest),
    segments: served.size,
    thinSegments: thin,
    upToDate,
    lastError,
    activeFlows,
  };
}

/** Where a segment is served, where another stands in its place, and by how many healthy connectors. */
export function segmentStatusOf(sources: StatusSources, segment: ConnectorSegment): SegmentStatus {
  const servedBy: string[] = [];
  const conflicts: SegmentConflict[] = [];
  let healthyConnectors = 0;
  for (const group of sources.view.groupsOf(segment)) {
    const conflict = conflictIn(sources, group, segment.id);
    if (conflict !== undefined) conflicts.push(conflict);
    if (!sources.segments(group).served.has(segment.id)) continue;
    servedBy.push(group);
    for (const session of sources.sessionsOf(group)) {
      if (isHealthy(sources, session) && session.targets?.isDown(segment.id) !== true) {
        healthyConnectors++;
      }
    }
  }
  return { servedBy, conflicts, healthyConnectors };
}

/** How a group covers its segments: its sessions are looked at once, for all that is asked. */
export function coverageOf(sources: StatusSources, group: string): GroupCoverage {
  const { version, served } = sources.segments(group);
  const { healthy, down } = coverage(sources, group, version);
  return {
    isServed: (id) => served.has(id),
    conflictOf: (id) => conflictIn(sources, group, id),
    healthyOf: (id) => (served.has(id) ? healthy - (down.get(id) ?? 0) : 0),
  };
}

/** Where another segment stands in a segment's place. */
function conflictIn(
  { view }: StatusSources,
  group: string,
  id: string,
): SegmentConflict | undefined {
  const conflict = view.servedOf(group).conflictOf(id);
  if (conflict === undefined) return undefined;
  return { group, segmentId: conflict.standingId, detail: conflict.detail };
}

function coverage(
  sources: StatusSources,
  group: string,
  version: string,
): {
  readonly healthy: number;
  /** Healthy connectors that say that a target of a segment is down. */
  readonly down: ReadonlyMap<string, number>;
  readonly upToDate: number;
  readonly activeFlows: bigint;
} {
  const down = new Map<string, number>();
  let healthy = 0;
  let upToDate = 0;
  let activeFlows = 0n;
  for (const session of sources.sessionsOf(group)) {
    activeFlows += session.activeFlows;
    if (session.acceptedSegments === version) upToDate++;
    if (!isHealthy(sources, session)) continue;
    healthy++;
    for (const id of session.targets?.downSegments() ?? []) down.set(id, (down.get(id) ?? 0) + 1);
  }
  return { healthy, down, upToDate, activeFlows };
}

function isHealthy(sources: StatusSources, session: ConnectorSession): boolean {
  return sources.stateOf(session.record).state === 'active';
}
