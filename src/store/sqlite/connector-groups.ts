import { fail, ok, type Result } from '../../base/result.ts';
import type { ConnectorDelete, DeletedConnectorValue } from '../connectors.ts';
import { appendChange, nextRevision } from './changes.ts';
import { deleteKeysOf } from './connector-keys.ts';
import type {
  ConnectorWriteRow,
  GroupDraftRow,
  SegmentDraftRow,
  WrittenConnectorRow,
} from './connector-protocol.ts';
import {
  type GroupRow,
  groupChecksum,
  type SegmentRow,
  segmentChecksum,
} from './connector-rows.ts';
import { countLiving, deleteConnectorsOf } from './connectors.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';

const GROUP = 'name, revision, origin, max_instances AS maxInstances, body, checksum';
const SEGMENT = 'id, revision, created_revision AS createdRevision, origin, body, checksum';

/** The group with a name. */
export function findGroup(db: Database, name: string): GroupRow | undefined {
  return db.get(`SELECT ${GROUP} FROM connector_groups WHERE name = ?`, name);
}

/** All groups in the order of their names. */
export function allGroups(db: Database): readonly GroupRow[] {
  return db.all(`SELECT ${GROUP} FROM connector_groups ORDER BY name`);
}

/** The segment with an ID. */
export function findSegment(db: Database, id: string): SegmentRow | undefined {
  return db.get(`SELECT ${SEGMENT} FROM connector_segments WHERE id = ?`, id);
}

/** All segments in the order of their IDs. */
export function allSegments(db: Database): readonly SegmentRow[] {
  return db.all(`SELECT ${SEGMENT} FROM connector_segments ORDER BY id`);
}

/** Makes or replaces groups, each only over the revision that it was made from. */
export function writeConnectorGroups(
  db: Database,
  { writes }: ArgsOf<'writeConnectorGroups'>,
): readonly WrittenConnectorRow<GroupRow>[] {
  return writes.map((write) => writeGroup(db, write));
}

/** Makes or replaces segments, each only over the revision that it was made from. */
export function writeConnectorSegments(
  db: Database,
  { writes }: ArgsOf<'writeConnectorSegments'>,
): readonly WrittenConnectorRow<SegmentRow>[] {
  return writes.map((write) => writeSegment(db, write));
}

/** Deletes groups in which nobody lives, with their keys and what ended in them. */
export function deleteConnectorGroups(
  db: Database,
  { deletes, now }: ArgsOf<'deleteConnectorGroups'>,
): readonly DeletedConnectorValue[] {
  return deletes.map((one) => deleteGroup(db, one, now));
}

/** Deletes segments. */
export function deleteConnectorSegments(
  db: Database,
  { deletes }: ArgsOf<'deleteConnectorSegments'>,
): readonly DeletedConnectorValue[] {
  return deletes.map(({ name, origin }) => {
    if (!isOf(findSegment(db, name), origin)) return 'missing';
    db.run('DELETE FROM connector_segments WHERE id = ?', name);
    appendChange(db, 'connector-segment', name);
    return 'deleted';
  });
}

/** A row that is about to decide something. Fails with STORE_CORRUPT where it is damaged. */
export function soundGroup(row: GroupRow): Result<GroupRow> {
  if (row.checksum === groupChecksum(row)) return ok(row);
  return fail('STORE_CORRUPT', `the connector group ${row.name} is damaged`);
}

function writeGroup(
  db: Database,
  { row: draft, expectedRevision }: ConnectorWriteRow<GroupDraftRow>,
): WrittenConnectorRow<GroupRow> {
  const before = findGroup(db, draft.name);
  if (!isExpected(before, expectedRevision)) return { outcome: 'conflict', row: before };
  const revised = { ...draft, revision: nextRevision(db) };
  const row = { ...revised, checksum: groupChecksum(revised) };
  db.run(
    'INSERT OR REPLACE INTO connector_groups VALUES (?, ?, ?, ?, ?, ?)',
    row.name,
    row.revision,
    row.origin,
    row.maxInstances,
    row.body,
    row.checksum,
  );
  appendChange(db, 'connector-group', row.name);
  return { outcome: 'written', row };
}

function writeSegment(
  db: Database,
  { row: draft, expectedRevision }: ConnectorWriteRow<SegmentDraftRow>,
): WrittenConnectorRow<SegmentRow> {
  const before = findSegment(db, draft.id);
  if (!isExpected(before, expectedRevision)) return { outcome: 'conflict', row: before };
  const revision = nextRevision(db);
  const revised = { ...draft, revision, createdRevision: before?.createdRevision ?? revision };
  const row = { ...revised, checksum: segmentChecksum(revised) };
  db.run(
    'INSERT OR REPLACE INTO connector_segments VALUES (?, ?, ?, ?, ?, ?)',
    row.id,
    row.revision,
    row.createdRevision,
    row.origin,
    row.body,
    row.checksum,
  );
  appendChange(db, 'connector-segment', row.id);
  return { outcome: 'written', row };
}

function deleteGroup(
  db: Database,
  { name, origin }: ConnectorDelete,
  now: number,
): DeletedConnectorValue {
  if (!isOf(findGroup(db, name), origin)) return 'missing';
  if (countLiving(db, name, now) > 0) return 'in-use';
  deleteKeysOf(db, name);
  deleteConnectorsOf(db, name);
  db.run('DELETE FROM connector_groups WHERE name = ?', name);
  appendChange(db, 'connector-group', name);
  return 'deleted';
}

function isOf(row: { readonly origin: string } | undefined, origin: string | undefined): boolean {
  return row !== undefined && (origin === undefined || row.origin === origin);
}

function isExpected(
  row: { readonly revision: number } | undefined,
  expected: number | undefined,
): boolean {
  return expected === undefined || expected === (row?.revision ?? 0);
}
