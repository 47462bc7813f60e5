import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { ok, type Result } from '../../base/result.ts';
import { migrate } from './migrations.ts';
import { sqliteFailure } from './sqlite-errors.ts';

/** Longest wait for a lock of another connection; there is none but the snapshot's reader. */
const BUSY_TIMEOUT_MS = 5000;

/** Page cache of a connection in KiB. */
const CACHE_KIB = 4096;

/** A connection with its prepared statements. */
export interface Database {
  /** Rows of a query. STRICT tables hold what the caller's row type says. */
  all<Row>(sql: string, ...values: readonly SQLInputValue[]): Row[];
  /** First row of a query, if any. */
  get<Row>(sql: string, ...values: readonly SQLInputValue[]): Row | undefined;
  /** Rows one by one; the statement stays open until the last. */
  iterate<Row>(sql: string): Iterator<Row>;
  /** Runs a statement; answers with the number of rows it changed. */
  run(sql: string, ...values: readonly SQLInputValue[]): number;
  /** Whether a transaction is open; SQLite ends one by itself after some failures. */
  inTransaction(): boolean;
  close(): void;
}

/** Opens a database for writing: durable at every commit, its schema brought to the newest. */
export function openDatabase(path: string, trustDomain: string): Result<Database> {
  let connection: DatabaseSync | undefined;
  try {
    connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, defensive: true });
    // Order matters: a file that is not ours is left as it is.
    const migrated = migrate(connection, trustDomain);
    if (!migrated.ok) {
      connection.close();
      return migrated;
    }
    configure(connection);
    return ok(wrap(connection));
  } catch (error) {
    if (connection?.isOpen) connection.close();
    return sqliteFailure(error, 'opening the database');
  }
}

/** Opens a second connection that only reads, for a snapshot beside running writes. */
export function openReader(path: string): Result<Database> {
  try {
    return ok(wrap(new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, readOnly: true })));
  } catch (error) {
    return sqliteFailure(error, 'opening the database for reading');
  }
}

function configure(connection: DatabaseSync): void {
  connection.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -${CACHE_KIB};
  `);
}

function wrap(connection: DatabaseSync): Database {
  const statements = new Map<string, StatementSync>();
  const prepared = (sql: string): StatementSync => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    const statement = connection.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return {
    // The casts rest on STRICT tables: SQLite itself keeps columns to their types.
    all: <Row>(sql: string, ...values: readonly SQLInputValue[]) =>
      prepared(sql).all(...values) as Row[],
    get: <Row>(sql: string, ...values: readonly SQLInputValue[]) =>
      prepared(sql).get(...values) as Row | undefined,
    iterate: <Row>(sql: string) => connection.prepare(sql).iterate() as Iterator<Row>,
    run: (sql, ...values) => Number(prepared(sql).run(...values).changes),
    inTransaction: () => connection.isTransaction,
    close: () => {
      statements.clear();
      connection.close();
    },
  };
}
