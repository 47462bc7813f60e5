import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';
import { type IssuingCaRow, issuingCaChecksum } from './rows.ts';

const COLUMNS = `authority_id AS authorityId, certificate, server, state, since,
  not_after AS notAfter, checksum`;

/** The issuing CA with a key identifier. */
export function findIssuingCa(db: Database, authorityId: string): IssuingCaRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM issuing_cas WHERE authority_id = ?`, authorityId);
}

/** All issuing CAs that are kept. */
export function allIssuingCas(db: Database): readonly IssuingCaRow[] {
  return db.all(`SELECT ${COLUMNS} FROM issuing_cas ORDER BY authority_id`);
}

/** Writes a new one, or a state that is further on; answers the row as it stands afterwards. */
export function putIssuingCa(db: Database, row: ArgsOf<'putIssuingCa'>): IssuingCaRow {
  const held = findIssuingCa(db, row.authorityId);
  if (held !== undefined && held.state >= row.state) return held;
  const checksum = issuingCaChecksum(row);
  db.run(
    'INSERT OR REPLACE INTO issuing_cas VALUES (?, ?, ?, ?, ?, ?, ?)',
    row.authorityId,
    row.certificate,
    row.server,
    row.state,
    row.since,
    row.notAfter,
    checksum,
  );
  appendChange(db, 'issuing-ca', row.authorityId);
  return { ...row, checksum };
}

/** Forgets issuing CAs that ended by a moment. Views let go of them by themselves. */
export function deleteEndedIssuingCas(db: Database, endedBySeconds: number): void {
  db.run('DELETE FROM issuing_cas WHERE not_after <= ?', endedBySeconds);
}
