import { fail, ok, type Result } from '../../base/result.ts';
import { appendChange } from './changes.ts';
import {
  type BoundKeyRow,
  boundKeyChecksum,
  type ProvisioningKeyRow,
  provisioningKeyChecksum,
} from './connector-rows.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';

const PROVISIONING =
  'id, group_name AS groupName, expires_at AS expiresAt, max_uses AS maxUses, uses, body, checksum';
const BOUND = `id, group_name AS groupName, connector_id AS connectorId,
  max_recoveries AS maxRecoveries, recovery_count AS recoveryCount,
  unanswered_key AS unansweredKey, restored, public_key AS publicKey, created_at AS createdAt,
  description, checksum`;

/** The provisioning key with an ID. */
export function findProvisioningKey(db: Database, id: string): ProvisioningKeyRow | undefined {
  return db.get(`SELECT ${PROVISIONING} FROM provisioning_keys WHERE id = ?`, id);
}

/** All provisioning keys in the order of their IDs. */
export function allProvisioningKeys(db: Database): readonly ProvisioningKeyRow[] {
  return db.all(`SELECT ${PROVISIONING} FROM provisioning_keys ORDER BY id`);
}

/** The bound key with an ID. */
export function findBoundKey(db: Database, id: string): BoundKeyRow | undefined {
  return db.get(`SELECT ${BOUND} FROM bound_keys WHERE id = ?`, id);
}

/** All bound keys in the order of their IDs. */
export function allBoundKeys(db: Database): readonly BoundKeyRow[] {
  return db.all(`SELECT ${BOUND} FROM bound_keys ORDER BY id`);
}

/** Keeps a new key that nobody has used. */
export function createProvisioningKey(
  db: Database,
  key: ArgsOf<'createProvisioningKey'>,
): 'created' | 'exists' | 'group-missing' {
  if (findProvisioningKey(db, key.id) !== undefined) return 'exists';
  if (!groupExists(db, key.groupName)) return 'group-missing';
  putProvisioningKey(db, { ...key, uses: 0 });
  return 'created';
}

/** Deletes keys and who used them; false where there was none. */
export function deleteProvisioningKeys(
  db: Database,
  { ids }: ArgsOf<'deleteProvisioningKeys'>,
): readonly boolean[] {
  return ids.map((id) => {
    if (db.run('DELETE FROM provisioning_keys WHERE id = ?', id) === 0) return false;
    db.run('DELETE FROM provisioning_key_uses WHERE key_id = ?', id);
    appendChange(db, 'provisioning-key', id);
    return true;
  });
}

/** Keeps a key, or new terms for one that is registered for the same connector. */
export function registerBoundKey(
  db: Database,
  key: ArgsOf<'registerBoundKey'>,
): Result<'created' | 'exists' | 'group-missing'> {
  const before = findBoundKey(db, key.id);
  if (before !== undefined) {
    if (before.groupName !== key.groupName || before.connectorId !== key.connectorId) {
      return ok('exists');
    }
    const sound = soundBoundKey(before);
    if (!sound.ok) return sound;
    putBoundKey(db, { ...before, ...key, createdAt: before.createdAt });
    return ok('created');
  }
  if (!groupExists(db, key.groupName)) return ok('group-missing');
  putBoundKey(db, { ...key, recoveryCount: 0, unansweredKey: '', restored: 0 });
  return ok('created');
}

/** Deletes bound keys; false where there was none. */
export function deleteBoundKeys(
  db: Database,
  { ids }: ArgsOf<'deleteBoundKeys'>,
): readonly boolean[] {
  return ids.map((id) => {
    if (db.run('DELETE FROM bound_keys WHERE id = ?', id) === 0) return false;
    appendChange(db, 'bound-key', id);
    return true;
  });
}

/** Deletes the keys that lead to a group. */
export function deleteKeysOf(db: Database, group: string): void {
  const idsIn = (table: string): readonly string[] =>
    db
      .all<{ id: string }>(`SELECT id FROM ${table} WHERE group_name = ?`, group)
      .map(({ id }) => id);
  deleteProvisioningKeys(db, { ids: idsIn('provisioning_keys') });
  deleteBoundKeys(db, { ids: idsIn('bound_keys') });
}

/** Forgets provisioning keys that ended before a moment. */
export function deleteEndedProvisioningKeys(db: Database, endedBySeconds: number): void {
  const sql = 'SELECT id FROM provisioning_keys WHERE expires_at < ?';
  const ids = db.all<{ id: string }>(sql, endedBySeconds).map(({ id }) => id);
  deleteProvisioningKeys(db, { ids });
}

/** Whether a claimant is among those that a key was used by. */
export function hasUsed(db: Database, keyId: string, claimant: string): boolean {
  const sql = 'SELECT 1 FROM provisioning_key_uses WHERE key_id = ? AND claimant = ?';
  return db.get(sql, keyId, claimant) !== undefined;
}

/** Counts a claimant, once, among those that a key was used by. */
export function useProvisioningKey(
  db: Database,
  key: ProvisioningKeyRow,
  claimant: string,
  now: number,
): void {
  const added = db.run(
    'INSERT INTO provisioning_key_uses VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    key.id,
    claimant,
    now,
  );
  if (added > 0) putProvisioningKey(db, { ...key, uses: key.uses + 1 });
}

/** Writes a bound key over whatever is there. */
export function putBoundKey(db: Database, key: Omit<BoundKeyRow, 'checksum'>): void {
  db.run(
    'INSERT OR REPLACE INTO bound_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    key.id,
    key.groupName,
    key.connectorId,
    key.maxRecoveries,
    key.recoveryCount,
    key.unansweredKey,
    key.restored,
    key.publicKey,
    key.createdAt,
    key.description,
    boundKeyChecksum(key),
  );
  appendChange(db, 'bound-key', key.id);
}

/**
 * A row that is about to be written again must not have its damage made good. Fails with STORE_CORRUPT.
 */
export function soundBoundKey(row: BoundKeyRow): Result<BoundKeyRow> {
  if (row.checksum === boundKeyChecksum(row)) return ok(row);
  return fail('STORE_CORRUPT', `the bound key ${row.id} is damaged`);
}

/** The same for a provisioning key. */
export function soundProvisioningKey(row: ProvisioningKeyRow): Result<ProvisioningKeyRow> {
  if (row.checksum === provisioningKeyChecksum(row)) return ok(row);
  return fail('STORE_CORRUPT', `the provisioning key ${row.id} is damaged`);
}

function putProvisioningKey(db: Database, key: Omit<ProvisioningKeyRow, 'checksum'>): void {
  db.run(
    'INSERT OR REPLACE INTO provisioning_keys VALUES (?, ?, ?, ?, ?, ?, ?)',
    key.id,
    key.groupName,
    key.expiresAt,
    key.maxUses,
    key.uses,
    key.body,
    provisioningKeyChecksum(key),
  );
  appendChange(db, 'provisioning-key', key.id);
}

function groupExists(db: Database, name: string): boolean {
  return db.get('SELECT 1 FROM connector_groups WHERE name = ?', name) !== undefined;
}
