import type { ConnectorStanding } from '../../rules/connector/record.ts';
import { checksum } from './rows.ts';

/** A row of `connector_groups`. */
export interface GroupRow {
  readonly name: string;
  readonly revision: number;
  readonly origin: string;
  /** 0 is no limit. */
  readonly maxInstances: number;
  /** Everything else, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** A row of `connector_segments`. */
export interface SegmentRow {
  readonly id: string;
  readonly revision: number;
  /** Revision of its first write. */
  readonly createdRevision: number;
  readonly origin: string;
  /** Everything else, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** A row of `connectors`. */
export interface ConnectorRow {
  readonly id: string;
  readonly revision: number;
  readonly groupName: string;
  readonly claimant: string;
  readonly standing: ConnectorStanding;
  readonly serial: string;
  readonly expiresAt: number;
  readonly enrolledAt: number;
  readonly spiffeId: string;
  readonly proof: string;
  readonly keySha256: string;
  readonly agentId: string | null;
  readonly reason: string;
  /** JSON. */
  readonly instance: string;
  readonly previousSerial: string;
  readonly previousExpiresAt: number;
  /** SHA-256 of the key of the previous SVID, hex; empty where there is none. */
  readonly previousKeySha256: string;
  /** SHA-256 of the key that it enrolled with, hex; not that of a renewal. */
  readonly enrolmentKeySha256: string;
  readonly lastHeardAt: number;
  readonly drainDeadlineMs: number;
  readonly endedAt: number;
  readonly checksum: number;
}

/** A row of `provisioning_keys`. */
export interface ProvisioningKeyRow {
  readonly id: string;
  readonly groupName: string;
  readonly expiresAt: number;
  readonly maxUses: number;
  readonly uses: number;
  /** Everything else, JSON. */
  readonly body: string;
  readonly checksum: number;
}

/** A row of `bound_keys`. */
export interface BoundKeyRow {
  readonly id: string;
  readonly groupName: string;
  readonly connectorId: string;
  readonly maxRecoveries: number;
  readonly recoveryCount: number;
  /** SHA-256 of the CSR's key of the enrolment that was counted last, hex; empty once it is known to have arrived. */
  readonly unansweredKey: string;
  /** 0 or 1: whether the counter may be behind, as the database is a restored one. */
  readonly restored: number;
  readonly publicKey: Uint8Array;
  readonly createdAt: number;
  readonly description: string;
  readonly checksum: number;
}

/** Checksum of a group's row. */
export function groupChecksum(row: Omit<GroupRow, 'checksum'>): number {
  return checksum([row.name, row.revision, row.origin, row.maxInstances, row.body]);
}

/** Checksum of a segment's row. */
export function segmentChecksum(row: Omit<SegmentRow, 'checksum'>): number {
  return checksum([row.id, row.revision, row.createdRevision, row.origin, row.body]);
}

/** The columns of a connector's row in the order of its table, but for the checksum. */
export function connectorColumns(
  row: Omit<ConnectorRow, 'checksum'>,
): readonly (string | number | null)[] {
  return [
    row.id,
    row.revision,
    row.groupName,
    row.claimant,
    row.standing,
    row.serial,
    row.expiresAt,
    row.enrolledAt,
    row.spiffeId,
    row.proof,
    row.keySha256,
    row.agentId,
    row.reason,
    row.instance,
    row.previousSerial,
    row.previousExpiresAt,
    row.previousKeySha256,
    row.enrolmentKeySha256,
    row.lastHeardAt,
    row.drainDeadlineMs,
    row.endedAt,
  ];
}

/** Checksum of a connector's row. */
export function connectorChecksum(row: Omit<ConnectorRow, 'checksum'>): number {
  return checksum(connectorColumns(row));
}

/** Checksum of a provisioning key's row. */
export function provisioningKeyChecksum(row: Omit<ProvisioningKeyRow, 'checksum'>): number {
  return checksum([row.id, row.groupName, row.expiresAt, row.maxUses, row.uses, row.body]);
}

/** Checksum of a bound key's row. */
export function boundKeyChecksum(row: Omit<BoundKeyRow, 'checksum'>): number {
  return checksum([
    row.id,
    row.groupName,
    row.connectorId,
    row.maxRecoveries,
    row.recoveryCount,
    row.unansweredKey,
    row.restored,
    Buffer.from(row.publicKey).toString('hex'),
    row.createdAt,
    row.description,
  ]);
}
