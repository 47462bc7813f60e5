import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import { federatesWithOf, withoutFederation } from './entry-body.ts';
import { hasBundleOf } from './federated-bundles.ts';
import type {
  ArgsOf,
  CreatedRow,
  EntryCreationRow,
  EntryUpdateRow,
  UpdatedRow,
} from './protocol.ts';
import { type EntryDraftRow, type EntryRow, entryChecksum } from './rows.ts';

const COLUMNS = `id, spiffe_id AS spiffeId, parent_id AS parentId, identity, revision,
  created_at AS createdAt, expires_at AS expiresAt, body, checksum`;

/** All entries in the order of their IDs. */
export const ALL_ENTRIES = `SELECT ${COLUMNS} FROM entries ORDER BY id`;

/** The entry with an ID. */
export function findEntry(db: Database, id: string): EntryRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM entries WHERE id = ?`, id);
}

/** The entry with a parent, SPIFFE ID and set of selectors. */
function findTwin(db: Database, identity: Uint8Array): EntryRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM entries WHERE identity = ?`, identity);
}

/** Creates entries; twins of what is there, also within one call, are answered with what is there. */
export function createEntries(
  db: Database,
  { creations, now }: ArgsOf<'createEntries'>,
): readonly CreatedRow[] {
  return creations.map((creation) => createEntry(db, creation, now, undefined));
}

/** Creates one entry, that goes with an agent where it is made for one. */
export function createEntry(
  db: Database,
  { id, draft }: EntryCreationRow,
  now: number,
  madeForAgent: string | undefined,
): CreatedRow {
  const existing = findTwin(db, draft.identity) ?? findEntry(db, id);
  if (existing !== undefined) return { outcome: 'exists', row: existing };
  const trustDomain = missingBundle(db, draft.body);
  if (trustDomain !== undefined) return { outcome: 'unfederated', trustDomain };
  const row = sealed({ ...draft, id, revision: 0, createdAt: now });
  db.run(
    `INSERT INTO entries (id, spiffe_id, parent_id, identity, revision, created_at, expires_at,
      body, checksum, made_for_agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    row.id,
    row.spiffeId,
    row.parentId,
    row.identity,
    row.revision,
    row.createdAt,
    row.expiresAt,
    row.body,
    row.checksum,
    madeForAgent ?? null,
  );
  appendChange(db, 'entry', id);
  return { outcome: 'created', row };
}

/** Replaces entries and raises their revisions. */
export function updateEntries(
  db: Database,
  { updates }: ArgsOf<'updateEntries'>,
): readonly UpdatedRow[] {
  return updates.map((update) => updateEntry(db, update));
}

function updateEntry(db: Database, { id, draft, expectedRevision }: EntryUpdateRow): UpdatedRow {
  const before = findEntry(db, id);
  if (before === undefined) return { outcome: 'missing' };
  if (expectedRevision !== undefined && expectedRevision !== before.revision) {
    return { outcome: 'conflict', row: before };
  }
  const twin = findTwin(db, draft.identity);
  if (twin !== undefined && twin.id !== id) return { outcome: 'exists', row: twin };
  const trustDomain = missingBundle(db, draft.body);
  if (trustDomain !== undefined) return { outcome: 'unfederated', trustDomain };
  return { outcome: 'updated', row: replaceEntry(db, before, draft) };
}

function replaceEntry(db: Database, before: EntryRow, draft: EntryDraftRow): EntryRow {
  const { id, createdAt } = before;
  const row = sealed({ ...draft, id, revision: before.revision + 1, createdAt });
  db.run(
    `UPDATE entries SET spiffe_id = ?, parent_id = ?, identity = ?, revision = ?, expires_at = ?,
      body = ?, checksum = ? WHERE id = ?`,
    row.spiffeId,
    row.parentId,
    row.identity,
    row.revision,
    row.expiresAt,
    row.body,
    row.checksum,
    id,
  );
  appendChange(db, 'entry', id);
  return row;
}

/** The first trust domain that an encoded entry federates with and of which there is no bundle. */
function missingBundle(db: Database, body: string): string | undefined {
  return federatesWithOf(body).find((name) => !hasBundleOf(db, name));
}

/** The entries that federate with a trust domain. */
export function entriesFederatedWith(db: Database, trustDomain: string): readonly EntryRow[] {
  // Few entries hold the name at all; only those are looked into.
  const sql = `SELECT ${COLUMNS} FROM entries WHERE instr(body, ?) > 0`;
  const rows = db.all<EntryRow>(sql, JSON.stringify(trustDomain));
  return rows.filter(({ body }) => federatesWithOf(body).includes(trustDomain));
}

/** Has entries federate with a trust domain no longer. */
export function dissociateEntries(
  db: Database,
  entries: readonly EntryRow[],
  trustDomain: string,
): void {
  for (const row of entries) {
    replaceEntry(db, row, { ...row, body: withoutFederation(row.body, trustDomain) });
  }
}

/** Deletes entries. */
export function deleteEntries(db: Database, { ids }: ArgsOf<'deleteEntries'>): readonly boolean[] {
  return ids.map((id) => {
    const deleted = db.run('DELETE FROM entries WHERE id = ?', id) > 0;
    if (deleted) appendChange(db, 'entry', id);
    return deleted;
  });
}

/** Deletes the entries that came with an agent. */
export function deleteEntriesMadeFor(db: Database, agentId: string): void {
  const ids = db.all<{ id: string }>('SELECT id FROM entries WHERE made_for_agent = ?', agentId);
  deleteEntries(db, { ids: ids.map(({ id }) => id) });
}

/** Deletes entries past their expiry. */
export function deleteExpiredEntries(db: Database, now: number): void {
  const ids = db.all<{ id: string }>(
    'SELECT id FROM entries WHERE expires_at > 0 AND expires_at <= ?',
    now,
  );
  deleteEntries(db, { ids: ids.map(({ id }) => id) });
}

function sealed(row: Omit<EntryRow, 'checksum'>): EntryRow {
  return { ...row, checksum: entryChecksum(row) };
}
