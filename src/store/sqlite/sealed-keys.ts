import { fail, ok, type Result } from '../../base/result.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';
import { type SealedKeyRow, sealedKeyChecksum } from './rows.ts';

/** Every sealed key; fails with STORE_CORRUPT where one was changed on disk. */
export function loadSealedKeys(db: Database): Result<readonly SealedKeyRow[]> {
  const rows = db.all<SealedKeyRow & { readonly checksum: number }>(
    'SELECT slot, version, sealed, checksum FROM sealed_keys ORDER BY slot',
  );
  const damaged = rows.find((row) => row.checksum !== sealedKeyChecksum(row));
  if (damaged !== undefined) {
    return fail('STORE_CORRUPT', `the sealed key of slot ${damaged.slot} is damaged`);
  }
  return ok(rows.map(({ slot, version, sealed }) => ({ slot, version, sealed })));
}

/** Writes the key of a slot, if it is still the one that was read; answers its new version. */
export function writeSealedKey(
  db: Database,
  { slot, expectedVersion, ...write }: ArgsOf<'writeSealedKey'>,
): Result<number> {
  const found = db.get<{ version: number }>('SELECT version FROM sealed_keys WHERE slot = ?', slot);
  const stored = found?.version ?? 0;
  if (stored !== expectedVersion) {
    return fail('STORE_CONFLICT', `slot ${slot} has version ${stored}, not ${expectedVersion}`);
  }
  const row: SealedKeyRow = { slot, version: stored + 1, sealed: write.sealed ?? null };
  db.run(
    'INSERT OR REPLACE INTO sealed_keys (slot, version, sealed, checksum) VALUES (?, ?, ?, ?)',
    row.slot,
    row.version,
    row.sealed,
    sealedKeyChecksum(row),
  );
  return ok(row.version);
}
