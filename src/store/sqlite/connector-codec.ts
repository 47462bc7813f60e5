import { fail, ok, type Result } from '../../base/result.ts';
import {
  CONNECTOR_PROOFS,
  type ConnectorGroup,
  type ConnectorGroupDraft,
} from '../../rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../../rules/connector/keys.ts';
import {
  CONNECTOR_STANDINGS,
  type ConnectorInstance,
  type ConnectorRecord,
} from '../../rules/connector/record.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../../rules/connector/segment.ts';
import type { ConnectorFeedChange, ConnectorSnapshot } from '../connectors.ts';
import { all } from './all.ts';
import type {
  ConnectorChangeRow,
  ConnectorOperations,
  ConnectorRows,
  GroupDraftRow,
  SegmentDraftRow,
} from './connector-protocol.ts';
import {
  type BoundKeyRow,
  boundKeyChecksum,
  type ConnectorRow,
  connectorChecksum,
  type GroupRow,
  groupChecksum,
  type ProvisioningKeyRow,
  provisioningKeyChecksum,
  type SegmentRow,
  segmentChecksum,
} from './connector-rows.ts';
import type { Interner } from './interner.ts';

type GroupBody = Omit<ConnectorGroupDraft, 'name' | 'origin' | 'maxInstances'>;
type SegmentBody = Omit<ConnectorSegmentDraft, 'id' | 'origin'>;
type KeyBody = Pick<ProvisioningKey, 'secretHash' | 'createdAtSeconds' | 'cidrs' | 'description'>;

/** Encodes a group; the store adds the revision. */
export function encodeGroup({
  name,
  origin,
  maxInstances,
  ...body
}: ConnectorGroupDraft): GroupDraftRow {
  return { name, origin, maxInstances, body: JSON.stringify(body satisfies GroupBody) };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeGroup(row: GroupRow): Result<ConnectorGroup> {
  const { name, origin, maxInstances } = row;
  if (row.checksum !== groupChecksum(row)) return damaged('connector group', name);
  // The checksum vouches that this program wrote it, in this shape.
  const body = JSON.parse(row.body) as GroupBody;
  // JSON leaves undefined out; here every field is there.
  const fields = { ...body, assurance: body.assurance };
  return ok({ ...fields, name, origin, maxInstances, revision: BigInt(row.revision) });
}

/** Encodes a segment; the store adds the revisions. */
export function encodeSegment({ id, origin, ...body }: ConnectorSegmentDraft): SegmentDraftRow {
  return { id, origin, body: JSON.stringify(body satisfies SegmentBody) };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeSegment(row: SegmentRow): Result<ConnectorSegment> {
  const { id, origin } = row;
  if (row.checksum !== segmentChecksum(row)) return damaged('connector segment', id);
  // As above.
  const body = JSON.parse(row.body) as SegmentBody;
  const revisions = {
    revision: BigInt(row.revision),
    createdRevision: BigInt(row.createdRevision),
  };
  return ok({ ...body, id, origin, ...revisions });
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeConnector(row: ConnectorRow, intern: Interner): Result<ConnectorRecord> {
  if (row.checksum !== connectorChecksum(row)) return damaged('connector', row.id);
  const standing = CONNECTOR_STANDINGS.find((known) => known === row.standing);
  const proof = CONNECTOR_PROOFS.find((known) => known === row.proof);
  const spiffeId = intern.newSpiffeId(row.spiffeId);
  const agentId = row.agentId === null ? ok(undefined) : intern.spiffeId(row.agentId);
  if (standing === undefined || proof === undefined || !spiffeId.ok || !agentId.ok) {
    return damaged('connector', row.id);
  }
  return ok({
    id: row.id,
    group: row.groupName,
    spiffeId: spiffeId.value,
    proof,
    claimant: row.claimant,
    keySha256: row.keySha256,
    agentId: agentId.value,
    standing,
    reason: row.reason,
    // As above.
    instance: JSON.parse(row.instance) as ConnectorInstance,
    enrolledAtSeconds: row.enrolledAt,
    serial: row.serial,
    expiresAtSeconds: row.expiresAt,
    previousSerial: row.previousSerial,
    previousExpiresAtSeconds: row.previousExpiresAt,
    previousKeySha256: row.previousKeySha256,
    enrolmentKeySha256: row.enrolmentKeySha256,
    lastHeardAtSeconds: row.lastHeardAt,
    drainDeadlineMs: row.drainDeadlineMs,
    endedAtSeconds: row.endedAt,
    revision: BigInt(row.revision),
  });
}

/** Encodes a provisioning key that is new. */
export function encodeProvisioningKey(
  key: Omit<ProvisioningKey, 'uses'>,
): ConnectorOperations['createProvisioningKey']['args'] {
  const { id, group: groupName, expiresAtSeconds: expiresAt, maxUses } = key;
  const { secretHash, createdAtSeconds, cidrs, description } = key;
  const body: KeyBody = { secretHash, createdAtSeconds, cidrs, description };
  return { id, groupName, expiresAt, maxUses, body: JSON.stringify(body) };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeProvisioningKey(row: ProvisioningKeyRow): Result<ProvisioningKey> {
  const { id, groupName: group, expiresAt: expiresAtSeconds, maxUses, uses } = row;
  if (row.checksum !== provisioningKeyChecksum(row)) return damaged('provisioning key', id);
  // As above.
  const body = JSON.parse(row.body) as KeyBody;
  return ok({ ...body, id, group, expiresAtSeconds, maxUses, uses });
}

/** Encodes a bound key to be registered. */
export function encodeBoundKey(
  key: Omit<BoundKey, 'recoveryCount'>,
): ConnectorOperations['registerBoundKey']['args'] {
  const { id, publicKey, connectorId, maxRecoveries, description } = key;
  const { group: groupName, createdAtSeconds: createdAt } = key;
  return { id, publicKey, connectorId, maxRecoveries, description, groupName, createdAt };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeBoundKey(row: BoundKeyRow): Result<BoundKey> {
  if (row.checksum !== boundKeyChecksum(row)) return damaged('bound key', row.id);
  return ok({
    id: row.id,
    publicKey: row.publicKey,
    group: row.groupName,
    connectorId: row.connectorId,
    maxRecoveries: row.maxRecoveries,
    recoveryCount: BigInt(row.recoveryCount),
    createdAtSeconds: row.createdAt,
    description: row.description,
  });
}

/** Decodes all of them, or answers with the first refusal. */
export function decodeConnectors(rows: ConnectorRows, intern: Interner): Result<ConnectorSnapshot> {
  const groups = all(rows.groups, decodeGroup);
  if (!groups.ok) return groups;
  const segments = all(rows.segments, decodeSegment);
  if (!segments.ok) return segments;
  const connectors = all(rows.connectors, (row) => decodeConnector(row, intern));
  if (!connectors.ok) return connectors;
  const provisioningKeys = all(rows.provisioningKeys, decodeProvisioningKey);
  if (!provisioningKeys.ok) return provisioningKeys;
  const boundKeys = all(rows.boundKeys, decodeBoundKey);
  if (!boundKeys.ok) return boundKeys;
  return ok({
    groups: groups.value,
    segments: segments.value,
    connectors: connectors.value,
    provisioningKeys: provisioningKeys.value,
    boundKeys: boundKeys.value,
  });
}

/** Decodes a line of the feed about connectors. */
export function decodeConnectorChange(
  line: ConnectorChangeRow,
  intern: Interner,
): Result<ConnectorFeedChange> {
  const { kind, ref } = line;
  switch (kind) {
    case 'connector-group': {
      const group = line.row === undefined ? ok(undefined) : decodeGroup(line.row);
      return group.ok ? ok({ kind, name: ref, group: group.value }) : group;
    }
    case 'connector-segment': {
      const segment = line.row === undefined ? ok(undefined) : decodeSegment(line.row);
      return segment.ok ? ok({ kind, id: ref, segment: segment.value }) : segment;
    }
    case 'connector': {
      const connector = line.row === undefined ? ok(undefined) : decodeConnector(line.row, intern);
      return connector.ok ? ok({ kind, id: ref, connector: connector.value }) : connector;
    }
    case 'provisioning-key': {
      const key = line.row === undefined ? ok(undefined) : decodeProvisioningKey(line.row);
      return key.ok ? ok({ kind, id: ref, key: key.value }) : key;
    }
    case 'bound-key': {
      const key = line.row === undefined ? ok(undefined) : decodeBoundKey(line.row);
      return key.ok ? ok({ kind, id: ref, key: key.value }) : key;
    }
  }
}

function damaged(what: string, name: string): Result<never> {
  return fail('STORE_CORRUPT', `the ${what} ${name} is damaged`);
}
