import type { Database } from './database.ts';
import type { ChangeRow } from './protocol.ts';

/** Appends a line to the change feed, in the transaction of what it tells of. */
export function appendChange(db: Database, kind: ChangeRow['kind'], ref: string): void {
  db.run('INSERT INTO changes (kind, ref) VALUES (?, ?)', kind, ref);
}
