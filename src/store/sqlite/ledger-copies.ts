import type { Database } from './database.ts';
import type { AnswerOf, ArgsOf } from './protocol.ts';

/** Replaces tiles, and the checkpoint that they lead to where one is given. */
export function putLedgerCopy(
  db: Database,
  { origin, tiles, head }: ArgsOf<'putLedgerCopy'>,
): undefined {
  for (const { path, bytes } of tiles) {
    db.run('INSERT OR REPLACE INTO ledger_tiles VALUES (?, ?, ?)', origin, path, bytes);
  }
  if (head === undefined) return;
  const { size, checkpoint } = head;
  db.run('INSERT OR REPLACE INTO ledger_copies VALUES (?, ?, ?)', origin, size, checkpoint);
}

/** How far the copy of a ledger has come. */
export function ledgerCopy(db: Database, { origin }: ArgsOf<'ledgerCopy'>): AnswerOf<'ledgerCopy'> {
  return db.get('SELECT size, checkpoint FROM ledger_copies WHERE origin = ?', origin);
}

/** A tile of the copy. */
export function ledgerCopyTile(
  db: Database,
  { origin, path }: ArgsOf<'ledgerCopyTile'>,
): AnswerOf<'ledgerCopyTile'> {
  const sql = 'SELECT content FROM ledger_tiles WHERE origin = ? AND path = ?';
  return db.get<{ content: Uint8Array }>(sql, origin, path)?.content;
}
