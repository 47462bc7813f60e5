import type { Database } from './database.ts';
import type { ChangeRow } from './protocol.ts';

/** Last change that was ever appended; no later one has its number, whatever was dropped since. */
export function lastSequence(db: Database): number {
  const sql = "SELECT seq AS last FROM sqlite_sequence WHERE name = 'changes'";
  return db.get<{ last: number }>(sql)?.last ?? 0;
}

/** Appends a line to the change feed, in the transaction of what it tells of. */
export function appendChange(db: Database, kind: ChangeRow['kind'], ref: string): void {
  db.run('INSERT INTO changes (kind, ref) VALUES (?, ?)', kind, ref);
}

/**
 * The number of the change that is about to be appended: one made anew is told from one that was deleted,
 * which a count of its writes would not.
 */
export function nextRevision(db: Database): number {
  return lastSequence(db) + 1;
}
