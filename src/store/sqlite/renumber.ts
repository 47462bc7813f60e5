import { ok, type Result } from '../../base/result.ts';
import { findBundle } from './authorities.ts';
import { allBoundKeys, putBoundKey, soundBoundKey } from './connector-keys.ts';
import { openDatabase } from './database.ts';
import { ALL_ENTRIES } from './entries.ts';
import { bundleChecksum, type EntryRow, entryChecksum } from './rows.ts';
import { sqliteFailure } from './sqlite-errors.ts';

/**
 * Added to the numbers of what changes in a restored database. Far more than changes between two
 * backups, and far less than 2^53 after any number of restores.
 */
const JUMP = 1_000_000;

/**
 * Prepares a database from a backup for going on. The server that was lost gave out numbers behind
 * the backup's: an agent that holds revision 5 of an entry must not meet another revision 5, nor
 * another bundle of a sequence that it knows. Join tokens go, since one that was used after the
 * backup would be good again (I7); provisioning keys go for the same reason, as uses of them and their
 * deletion may be lost. Counters of bound keys are taken to be behind, once. Brings the schema to the newest
 * version.
 */
export function renumberDatabase(path: string, trustDomain: string): Result<void> {
  const opened = openDatabase(path, trustDomain);
  if (!opened.ok) return opened;
  const db = opened.value;
  try {
    db.run('BEGIN IMMEDIATE');
    db.run('DELETE FROM join_tokens');
    db.run('DELETE FROM provisioning_keys');
    db.run('DELETE FROM provisioning_key_uses');
    for (const key of allBoundKeys(db))
      if (soundBoundKey(key).ok) putBoundKey(db, { ...key, restored: 1 });
    for (const row of db.all<EntryRow>(ALL_ENTRIES)) {
      const revision = row.revision + JUMP;
      // A row that is damaged stays so: its checksum must not be made good here.
      if (row.checksum !== entryChecksum(row)) continue;
      const checksum = entryChecksum({ ...row, revision });
      const change = 'UPDATE entries SET revision = ?, checksum = ? WHERE id = ?';
      db.run(change, revision, checksum, row.id);
    }
    const bundle = findBundle(db);
    if (bundle !== undefined && bundle.checksum === bundleChecksum(bundle)) {
      const sequence = bundle.sequence + JUMP;
      const checksum = bundleChecksum({ ...bundle, sequence });
      const change = 'UPDATE bundles SET sequence = ?, checksum = ? WHERE sequence = ?';
      db.run(change, sequence, checksum, bundle.sequence);
    }
    db.run('COMMIT');
    return ok(undefined);
  } catch (error) {
    return sqliteFailure(error, 'preparing the restored database');
  } finally {
    db.close();
  }
}
