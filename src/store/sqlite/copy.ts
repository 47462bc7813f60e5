import { closeSync, openSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { fail, ok, type Result } from '../../base/result.ts';
import { MIGRATIONS, migrate } from './migrations.ts';
import { sqliteFailure } from './sqlite-errors.ts';

/** Version of the schema that this program writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

/** Largest database that is looked into in memory, in bytes. */
export const MAX_LOOKED_INTO_BYTES: number = 1024 * 1024 * 1024;

/** How long a running server may keep the database locked before a reader gives up. */
const BUSY_TIMEOUT_MS = 10_000;

/** Where the header says how the file is journalled (sqlite.org/fileformat.html §1.3.4). */
const FORMAT_VERSIONS = [18, 19] as const;

/** Whose a database is, and of which schema. */
export interface DatabaseFacts {
  readonly trustDomain: string;
  readonly schema: number;
}

/** A step of the schema that a database has not made yet. */
export interface PendingMigration {
  /** Version of the schema after it. */
  readonly version: number;
  /** How each statement begins. */
  readonly statements: readonly string[];
}

/** What {@link previewMigrations} found. */
export interface MigrationPreview {
  readonly schema: number;
  /** Version that this program brings it to. */
  readonly known: number;
  readonly pending: readonly PendingMigration[];
}

/**
 * Copies a database into a new file (0600) as it is at one moment, also while a server writes to it.
 * Fails with STATE_ABSENT, STORE_FOREIGN, STORE_CORRUPT, STORE_LOCKED, STORE_FULL or STORE_IO.
 */
export function copyDatabase(path: string, target: string): Result<DatabaseFacts> {
  const made = reading(path, (source) => {
    // Made first, since SQLite would make it by the umask; an empty file is taken as none.
    closeSync(openSync(target, 'wx', 0o600));
    source.prepare('VACUUM INTO ?').run(target);
  });
  return made.ok ? reading(target, factsOf) : made;
}

/**
 * Looks into the bytes of a database without writing any: that its pages hang together, whose it is,
 * and that this program can bring it to its own schema. Fails with STORE_CORRUPT, STORE_FOREIGN or
 * STORE_SCHEMA_NEWER.
 */
export function inspectDatabase(bytes: Uint8Array): Result<DatabaseFacts> {
  return inMemory(bytes, (copy) => {
    const [first] = copy.prepare('PRAGMA integrity_check(1)').all();
    if (first?.integrity_check !== 'ok') {
      return fail('STORE_CORRUPT', `the database is damaged: ${String(first?.integrity_check)}`);
    }
    const facts = factsOf(copy);
    const migrated = migrate(copy, facts.trustDomain);
    return migrated.ok ? ok(facts) : migrated;
  });
}

/**
 * Makes the outstanding steps of the schema on a copy in memory and answers which they are; the
 * database is only read. Fails with STATE_ABSENT, STORE_SCHEMA_NEWER, STORE_FOREIGN or as SQLite does.
 */
export function previewMigrations(path: string, trustDomain: string): Result<MigrationPreview> {
  const bytes = reading(path, (source) => source.serialize());
  if (!bytes.ok) return bytes;
  return inMemory(bytes.value, (copy) => {
    const { schema } = factsOf(copy);
    const migrated = migrate(copy, trustDomain);
    if (!migrated.ok) return migrated;
    const pending = MIGRATIONS.slice(schema).map((sql, index) => ({
      version: schema + index + 1,
      statements: statementsOf(sql),
    }));
    return ok({ schema, known: SCHEMA_VERSION, pending });
  });
}

function factsOf(database: DatabaseSync): DatabaseFacts {
  const owner = database.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").get();
  const row = database.prepare('SELECT max(version) AS version FROM migrations').get();
  return { trustDomain: String(owner?.value), schema: Number(row?.version) };
}

function reading<T>(path: string, work: (database: DatabaseSync) => T): Result<T> {
  let database: DatabaseSync | undefined;
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
      return fail('STATE_ABSENT', `there is no database ${path}`);
    }
    database = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    return ok(work(database));
  } catch (error) {
    return failure(error, 'reading the database');
  } finally {
    if (database?.isOpen) database.close();
  }
}

function inMemory<T>(bytes: Uint8Array, work: (copy: DatabaseSync) => Result<T>): Result<T> {
  const copy = new DatabaseSync(':memory:', { defensive: true });
  try {
    // In memory there is no write-ahead log: the header must not ask for one.
    for (const at of FORMAT_VERSIONS) if (bytes[at] === 2) bytes[at] = 1;
    copy.deserialize(bytes);
    copy.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON');
    return work(copy);
  } catch (error) {
    return failure(error, 'looking into the database');
  } finally {
    copy.close();
  }
}

/** A database without our tables is somebody else's, whatever SQLite says about the statement. */
function failure(error: unknown, doing: string): Result<never> {
  if (error instanceof Error && /no such (table|column)/.test(error.message)) {
    return fail('STORE_FOREIGN', 'the file is a database of something else', { cause: error });
  }
  return sqliteFailure(error, doing);
}

function statementsOf(sql: string): readonly string[] {
  return sql
    .split(';')
    .map((statement) => statement.replace(/\s+/g, ' ').trim())
    .filter((statement) => statement !== '')
    .map((statement) => statement.replace(/ ?\(.*$/, '').slice(0, 100));
}
