import type { DatabaseSync } from 'node:sqlite';
import { fail, ok, type Result } from '../../base/result.ts';

/** `Sgnt`: marks the file as ours (PRAGMA application_id). */
const APPLICATION_ID = 0x53676e74;

/**
 * Steps of the schema, in order; the index plus one is the version. A released step is never edited:
 * databases exist that ran it.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle')),
    ref TEXT NOT NULL
  ) STRICT;

  CREATE TABLE entries (
    id TEXT PRIMARY KEY,
    spiffe_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    identity BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    made_for_agent TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX entries_expiry ON entries (expires_at) WHERE expires_at > 0;
  CREATE INDEX entries_made_for ON entries (made_for_agent) WHERE made_for_agent IS NOT NULL;

  CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    attestation_type TEXT NOT NULL,
    selectors TEXT NOT NULL,
    serial TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    new_serial TEXT,
    new_expires_at INTEGER,
    banned INTEGER NOT NULL CHECK (banned IN (0, 1)),
    can_reattest INTEGER NOT NULL CHECK (can_reattest IN (0, 1)),
    agent_version TEXT NOT NULL,
    attested_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE join_tokens (
    token_hash TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    alias_id TEXT,
    csr_key_hash TEXT,
    claimed_at INTEGER,
    answer BLOB
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX join_tokens_expiry ON join_tokens (expires_at);

  CREATE TABLE bundles (
    trust_domain TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    refresh_hint INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE authorities (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    journal BLOB NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
  `,
  // A CHECK cannot be changed in place, and the feed gets a kind of line more. AUTOINCREMENT counts on:
  // the counter moves with the name of the table.
  `
  CREATE TABLE changes_next (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle', 'revocation')),
    ref TEXT NOT NULL
  ) STRICT;
  INSERT INTO changes_next SELECT sequence, kind, ref FROM changes;
  DROP TABLE changes;
  ALTER TABLE changes_next RENAME TO changes;

  CREATE TABLE revocations (
    serial TEXT PRIMARY KEY,
    spiffe_id TEXT NOT NULL,
    agent_id TEXT,
    authority_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX revocations_end ON revocations (not_after);
  `,
  // No checksum: a flipped bit makes an authority wait, or its deadline ends the wait.
  `
  CREATE TABLE bundle_acks (
    agent_id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    heard_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // What was given up keeps its row: its version must not be counted twice.
  `
  CREATE TABLE sealed_keys (
    slot TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    sealed BLOB,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE ledger_tiles (
    origin TEXT NOT NULL,
    path TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (origin, path)
  ) STRICT;
  CREATE TABLE ledger_copies (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    checkpoint BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // As step 2: another kind of line. States by number, since they only ever go up.
  `
  CREATE TABLE changes_next (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle', 'revocation', 'issuing-ca')),
    ref TEXT NOT NULL
  ) STRICT;
  INSERT INTO changes_next SELECT sequence, kind, ref FROM changes;
  DROP TABLE changes;
  ALTER TABLE changes_next RENAME TO changes;

  CREATE TABLE issuing_cas (
    authority_id TEXT PRIMARY KEY,
    certificate TEXT NOT NULL,
    server TEXT NOT NULL,
    state INTEGER NOT NULL,
    since INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE agents ADD COLUMN assurance TEXT;
  `,
  // As step 2.
  `
  CREATE TABLE changes_next (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle', 'revocation', 'issuing-ca', 'dpu')),
    ref TEXT NOT NULL
  ) STRICT;
  INSERT INTO changes_next SELECT sequence, kind, ref FROM changes;
  DROP TABLE changes;
  ALTER TABLE changes_next RENAME TO changes;

  CREATE TABLE dpus (
    serial TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Which database it is, and how many transactions it has seen: what an older copy is known by.
  `
  INSERT INTO meta VALUES ('database_id', lower(hex(randomblob(16)))), ('commits', '0');
  `,
  // No checksum: a flipped bit keeps a manifest out, or is overtaken by the next revision.
  `
  CREATE TABLE manifest_marks (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    sha256 TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // As step 2. Sequences of others are unsigned 64-bit numbers, which no INTEGER holds.
  `
  CREATE TABLE changes_next (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle', 'revocation', 'issuing-ca', 'dpu',
      'federation', 'federated-bundle')),
    ref TEXT NOT NULL
  ) STRICT;
  INSERT INTO changes_next SELECT sequence, kind, ref FROM changes;
  DROP TABLE changes;
  ALTER TABLE changes_next RENAME TO changes;

  CREATE TABLE federations (
    trust_domain TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    origin TEXT NOT NULL,
    url TEXT NOT NULL,
    endpoint_id TEXT,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE federated_bundles (
    trust_domain TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    origin TEXT NOT NULL,
    sequence TEXT NOT NULL,
    refresh_hint INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE kept_values (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // As step 2. One connector for each claimant.
  `
  CREATE TABLE changes_next (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('entry', 'agent', 'bundle', 'revocation', 'issuing-ca', 'dpu',
      'federation', 'federated-bundle', 'connector-group', 'connector-segment', 'connector',
      'provisioning-key', 'bound-key')),
    ref TEXT NOT NULL
  ) STRICT;
  INSERT INTO changes_next SELECT sequence, kind, ref FROM changes;
  DROP TABLE changes;
  ALTER TABLE changes_next RENAME TO changes;

  CREATE TABLE connector_groups (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    origin TEXT NOT NULL,
    max_instances INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE connector_segments (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    created_revision INTEGER NOT NULL,
    origin TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE connectors (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    claimant TEXT NOT NULL UNIQUE,
    standing TEXT NOT NULL,
    serial TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    spiffe_id TEXT NOT NULL,
    proof TEXT NOT NULL,
    key_sha256 TEXT NOT NULL,
    agent_id TEXT,
    reason TEXT NOT NULL,
    instance TEXT NOT NULL,
    previous_serial TEXT NOT NULL,
    previous_expires_at INTEGER NOT NULL,
    previous_key_sha256 TEXT NOT NULL,
    enrolment_key_sha256 TEXT NOT NULL,
    last_heard_at INTEGER NOT NULL,
    drain_deadline_ms INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX connectors_living ON connectors (group_name, standing, serial, expires_at, enrolled_at);

  CREATE TABLE provisioning_keys (
    id TEXT PRIMARY KEY,
    group_name TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE provisioning_key_uses (
    key_id TEXT NOT NULL,
    claimant TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, claimant)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE bound_keys (
    id TEXT PRIMARY KEY,
    group_name TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    max_recoveries INTEGER NOT NULL,
    recovery_count INTEGER NOT NULL,
    unanswered_key TEXT NOT NULL,
    restored INTEGER NOT NULL CHECK (restored IN (0, 1)),
    public_key BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    description TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

/**
 * Brings the schema to the newest version. Each step is one transaction with its own line in
 * `migrations`, so after a crash the next start goes on where this one stopped.
 */
export function migrate(
  connection: DatabaseSync,
  trustDomain: string,
  migrations: readonly string[] = MIGRATIONS,
): Result<void> {
  const version = currentVersion(connection);
  if (!version.ok) return version;
  if (version.value > migrations.length) {
    return fail(
      'STORE_SCHEMA_NEWER',
      `database has schema ${version.value}; this program knows up to ${migrations.length}`,
    );
  }
  for (const [index, sql] of migrations.entries()) {
    if (index >= version.value) applyStep(connection, index + 1, sql, trustDomain);
  }
  const owner = connection.prepare("SELECT value FROM meta WHERE key = 'trust_domain'").get();
  if (owner?.value === trustDomain) return ok(undefined);
  return fail('STORE_FOREIGN', `database is of trust domain ${String(owner?.value)}`);
}

/** 0 for a new file. */
function currentVersion(connection: DatabaseSync): Result<number> {
  const id = connection.prepare('PRAGMA application_id').get()?.application_id;
  const tables = connection.prepare('SELECT count(*) AS count FROM sqlite_schema').get()?.count;
  if (tables === 0) return ok(0);
  if (id !== APPLICATION_ID)
    return fail('STORE_FOREIGN', 'the file is a database of something else');
  const row = connection.prepare('SELECT max(version) AS version FROM migrations').get();
  return ok(Number(row?.version ?? 0));
}

function applyStep(
  connection: DatabaseSync,
  version: number,
  sql: string,
  trustDomain: string,
): void {
  connection.exec('BEGIN IMMEDIATE');
  try {
    if (version === 1) {
      connection.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      connection.exec('CREATE TABLE migrations (version INTEGER PRIMARY KEY) STRICT');
    }
    connection.exec(sql);
    if (version === 1) {
      connection
        .prepare("INSERT INTO meta (key, value) VALUES ('trust_domain', ?)")
        .run(trustDomain);
    }
    connection.prepare('INSERT INTO migrations (version) VALUES (?)').run(version);
    connection.exec('COMMIT');
  } catch (error) {
    if (connection.isTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}
