import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import type { ArgsOf } from './protocol.ts';
import { type RevocationRow, revocationChecksum } from './rows.ts';

const COLUMNS = `serial, spiffe_id AS spiffeId, agent_id AS agentId, authority_id AS authorityId,
  issuer, not_after AS notAfter, revoked_at AS revokedAt, reason, checksum`;

/** The revocation of a serial number. */
export function findRevocation(db: Database, serial: string): RevocationRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM revocations WHERE serial = ?`, serial);
}

/** All revocations that are kept. */
export function allRevocations(db: Database): readonly RevocationRow[] {
  return db.all(`SELECT ${COLUMNS} FROM revocations ORDER BY serial`);
}

/** Adds revocations; what is revoked already stays as it is. Answers the serials that are new. */
export function revoke(db: Database, { rows }: ArgsOf<'revoke'>): readonly string[] {
  const added: string[] = [];
  for (const row of rows) {
    const changed = db.run(
      'INSERT INTO revocations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      row.serial,
      row.spiffeId,
      row.agentId,
      row.authorityId,
      row.issuer,
      row.notAfter,
      row.revokedAt,
      row.reason,
      revocationChecksum(row),
    );
    if (changed !== 1) continue;
    appendChange(db, 'revocation', row.serial);
    added.push(row.serial);
  }
  return added;
}

/** Forgets revocations of what ended by a moment. Views let go of them by themselves. */
export function deleteEndedRevocations(db: Database, endedBySeconds: number): void {
  db.run('DELETE FROM revocations WHERE not_after <= ?', endedBySeconds);
}
