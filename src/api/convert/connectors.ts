import type { LiveConnectors } from '../../connectors/live.ts';
import type { ConnectorInfo } from '../../gen/signet/connector/v1/admin.ts';
import type { ConnectorRecord } from '../../rules/connector/record.ts';

/** A connector in its wire form: its record, and what its session says where it has one here. */
export function toWireConnector(connector: ConnectorRecord, live: LiveConnectors): ConnectorInfo {
  const presence = live.presence(connector.id);
  const { state, reason } = live.stateOf(connector);
  const heardAtSeconds = Math.floor((presence?.lastHeardMs ?? 0) / 1000);
  return {
    id: connector.id,
    group: connector.group,
    spiffeId: connector.spiffeId.uri,
    state,
    reason,
    instance: { ...connector.instance },
    proof: connector.proof,
    claimant: connector.claimant,
    agentId: connector.agentId?.uri ?? '',
    enrolledAt: BigInt(connector.enrolledAtSeconds),
    serialNumber: connector.serial,
    expiresAt: BigInt(connector.expiresAtSeconds),
    lastHeardAt: BigInt(Math.max(connector.lastHeardAtSeconds, heardAtSeconds)),
    clockOffsetMs: BigInt(Math.round(presence?.clockOffsetMs ?? 0)),
    activeFlows: presence?.activeFlows ?? 0n,
    loadPercent: presence?.loadPercent ?? 0,
    versions: presence?.versions() ?? [],
    wantedSegmentsVersion: live.wantedSegments(connector.group),
    lastNack: presence?.lastNack ?? '',
    segmentHealth: presence?.segmentHealth() ?? [],
    drainDeadlineMs: BigInt(connector.drainDeadlineMs),
    remoteAddress: presence?.remoteAddress ?? '',
  };
}
