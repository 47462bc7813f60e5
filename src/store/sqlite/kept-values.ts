import { fail, ok, type Result } from '../../base/result.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';
import { type KeptValueRow, keptValueChecksum } from './rows.ts';

/** Every kept value; fails with STORE_CORRUPT where one was changed on disk. */
export function loadKeptValues(db: Database): Result<readonly KeptValueRow[]> {
  const rows = db.all<KeptValueRow & { readonly checksum: number }>(
    'SELECT name, version, value, checksum FROM kept_values ORDER BY name',
  );
  const damaged = rows.find((row) => row.checksum !== keptValueChecksum(row));
  if (damaged !== undefined) {
    return fail('STORE_CORRUPT', `the kept value ${damaged.name} is damaged`);
  }
  return ok(rows.map(({ name, version, value }) => ({ name, version, value })));
}

/** Writes or deletes a value, if it is still the one that was read; answers its new version. */
export function writeKeptValue(
  db: Database,
  { name, expectedVersion, value }: ArgsOf<'writeKeptValue'>,
): Result<number> {
  const found = db.get<{ version: number }>('SELECT version FROM kept_values WHERE name = ?', name);
  const stored = found?.version ?? 0;
  if (stored !== expectedVersion) {
    return fail('STORE_CONFLICT', `${name} has version ${stored}, not ${expectedVersion}`);
  }
  if (value === undefined) {
    db.run('DELETE FROM kept_values WHERE name = ?', name);
    return ok(0);
  }
  const row: KeptValueRow = { name, version: stored + 1, value };
  db.run(
    'INSERT OR REPLACE INTO kept_values (name, version, value, checksum) VALUES (?, ?, ?, ?)',
    row.name,
    row.version,
    row.value,
    keptValueChecksum(row),
  );
  return ok(row.version);
}
