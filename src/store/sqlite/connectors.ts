import { fail, ok, type Result } from '../../base/result.ts';
import { connectorLives, PENDING_SECONDS } from '../../rules/connector/life.ts';
import type { ConnectorStep } from '../connectors.ts';
import { all } from './all.ts';
import { appendChange, nextRevision } from './changes.ts';
import { applyConnectorChange, provesAnswer } from './connector-change.ts';
import { findBoundKey, putBoundKey, soundBoundKey } from './connector-keys.ts';
import { type ConnectorRow, connectorChecksum, connectorColumns } from './connector-rows.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';

const COLUMNS = `id, revision, group_name AS groupName, claimant, standing, serial,
  expires_at AS expiresAt, enrolled_at AS enrolledAt, spiffe_id AS spiffeId, proof,
  key_sha256 AS keySha256, agent_id AS agentId, reason, instance,
  previous_serial AS previousSerial, previous_expires_at AS previousExpiresAt,
  previous_key_sha256 AS previousKeySha256, enrolment_key_sha256 AS enrolmentKeySha256,
  last_heard_at AS lastHeardAt,
  drain_deadline_ms AS drainDeadlineMs, ended_at AS endedAt, checksum`;

/** The connector with an ID. */
export function findConnector(db: Database, id: string): ConnectorRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM connectors WHERE id = ?`, id);
}

/** The connector of a claimant. */
export function findConnectorOf(db: Database, claimant: string): ConnectorRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM connectors WHERE claimant = ?`, claimant);
}

/** All connectors in the order of their IDs. */
export function allConnectors(db: Database): readonly ConnectorRow[] {
  return db.all(`SELECT ${COLUMNS} FROM connectors ORDER BY id`);
}

/** How many connectors of a group have not ended: {@link livesRow}, counted by an index alone. */
export function countLiving(db: Database, group: string, now: number): number {
  const found = db.get<{ living: number }>(
    `SELECT count(*) AS living FROM connectors
      WHERE group_name = ? AND standing IN ('enrolled', 'draining')
      AND CASE serial WHEN '' THEN enrolled_at + ? > ? ELSE expires_at > ? END`,
    group,
    PENDING_SECONDS,
    now,
    now,
  );
  return found?.living ?? 0;
}

/** Whether the connector of a row has not ended. */
export function livesRow(row: ConnectorRow, now: number): boolean {
  const times = { expiresAtSeconds: row.expiresAt, enrolledAtSeconds: row.enrolledAt };
  return connectorLives({ ...row, ...times }, now);
}

/** Applies steps to connectors as they stand; none of them where a row is damaged. */
export function changeConnectors(
  db: Database,
  { changes }: ArgsOf<'changeConnectors'>,
): Result<readonly (ConnectorRow | undefined)[]> {
  for (const { id } of changes) {
    const row = findConnector(db, id);
    const sound = row === undefined ? ok(row) : soundConnector(row);
    if (!sound.ok) return sound;
  }
  return all(changes, (step) => changeConnector(db, step));
}

function changeConnector(
  db: Database,
  { id, change }: ConnectorStep,
): Result<ConnectorRow | undefined> {
  const before = findConnector(db, id);
  if (before === undefined) return ok(undefined);
  const after = applyConnectorChange(before, change);
  if (provesAnswer(before, change)) {
    const noted = noteAnswered(db, before.claimant);
    if (!noted.ok) return noted;
  }
  return ok(after === before ? before : putConnector(db, after));
}

/** Forgets connectors; false where there was none, or another revision of it. */
export function deleteConnectors(
  db: Database,
  { which }: ArgsOf<'deleteConnectors'>,
): readonly boolean[] {
  return which.map(({ id, revision }) => {
    if (revision !== undefined && findConnector(db, id)?.revision !== Number(revision))
      return false;
    return deleteConnector(db, id);
  });
}

/** Forgets a connector, however it stands; false where there was none. */
export function deleteConnector(db: Database, id: string): boolean {
  if (db.run('DELETE FROM connectors WHERE id = ?', id) === 0) return false;
  appendChange(db, 'connector', id);
  return true;
}

/** Forgets the connectors of a group, but for those that were revoked. */
export function deleteConnectorsOf(db: Database, group: string): void {
  const sql = "SELECT id FROM connectors WHERE group_name = ? AND standing <> 'revoked'";
  for (const { id } of db.all<{ id: string }>(sql, group)) deleteConnector(db, id);
}

/** Writes a connector over the one of this ID, with the next revision. */
export function putConnector(
  db: Database,
  connector: Omit<ConnectorRow, 'revision' | 'checksum'>,
): ConnectorRow {
  const revised = { ...connector, revision: nextRevision(db) };
  const row = { ...revised, checksum: connectorChecksum(revised) };
  db.run(
    `INSERT OR REPLACE INTO connectors
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...connectorColumns(row),
    row.checksum,
  );
  appendChange(db, 'connector', row.id);
  return row;
}

/** A row that is about to be written again must not have its damage made good. Fails with STORE_CORRUPT. */
export function soundConnector(row: ConnectorRow): Result<ConnectorRow> {
  if (row.checksum === connectorChecksum(row)) return ok(row);
  return fail('STORE_CORRUPT', `the connector ${row.id} is damaged`);
}

/** The answer to the enrolment of a bound key has arrived: nothing is to be repeated any more. */
function noteAnswered(db: Database, claimant: string): Result<void> {
  const row = findBoundKey(db, claimant.replace(/^bound:/, ''));
  if (row === undefined || row.unansweredKey === '') return ok(undefined);
  const sound = soundBoundKey(row);
  if (!sound.ok) return sound;
  putBoundKey(db, { ...row, unansweredKey: '' });
  return ok(undefined);
}
