import { fail, ok, type Result } from '../../base/result.ts';
import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import type { AnswerOf, ArgsOf } from './protocol.ts';
import { type BundleRow, bundleChecksum, journalChecksum } from './rows.ts';

/** The bundle of the own trust domain. */
export function findBundle(db: Database): BundleRow | undefined {
  return db.get(
    `SELECT sequence, refresh_hint AS refreshHint, body, checksum FROM bundles
      WHERE trust_domain = (SELECT value FROM meta WHERE key = 'trust_domain')`,
  );
}

/** The authorities' journal, its version (0 before the first) and the bundle written with it. */
export function loadJournal(db: Database): Result<AnswerOf<'loadJournal'>> {
  const row = db.get<{ version: number; journal: Uint8Array; checksum: number }>(
    'SELECT version, journal, checksum FROM authorities',
  );
  const bundle = findBundle(db);
  if (row === undefined) return ok({ version: 0, journal: undefined, bundle });
  const { version, journal, checksum } = row;
  if (checksum !== journalChecksum(version, journal)) {
    return fail('STORE_CORRUPT', 'the journal of the authorities is damaged');
  }
  return ok({ version, journal, bundle });
}

/** Writes journal and bundle together, if the journal is still the one that was read. */
export function commitAuthorities(
  db: Database,
  { expectedVersion, journal, bundle }: ArgsOf<'commitAuthorities'>,
): Result<AnswerOf<'commitAuthorities'>> {
  const stored = db.get<{ version: number }>('SELECT version FROM authorities')?.version ?? 0;
  if (stored !== expectedVersion) {
    return fail('STORE_CONFLICT', `journal has version ${stored}, not ${expectedVersion}`);
  }
  const version = stored + 1;
  db.run(
    'INSERT OR REPLACE INTO authorities (one, version, journal, checksum) VALUES (1, ?, ?, ?)',
    version,
    journal,
    journalChecksum(version, journal),
  );
  if (bundle === undefined) return ok({ version, bundleSequence: undefined });
  return ok({ version, bundleSequence: writeBundle(db, bundle) });
}

function writeBundle(
  db: Database,
  { refreshHint, body }: { readonly refreshHint: number; readonly body: string },
): number {
  const sequence = (findBundle(db)?.sequence ?? 0) + 1;
  db.run(
    `INSERT OR REPLACE INTO bundles (trust_domain, sequence, refresh_hint, body, checksum)
      SELECT value, ?, ?, ?, ? FROM meta WHERE key = 'trust_domain'`,
    sequence,
    refreshHint,
    body,
    bundleChecksum({ sequence, refreshHint, body }),
  );
  appendChange(db, 'bundle', '');
  return sequence;
}
