import type { Database } from './database.ts';
import type { BundleAckRow } from './rows.ts';

/** What every agent has acknowledged. */
export function allBundleAcks(db: Database): readonly BundleAckRow[] {
  return db.all('SELECT agent_id AS agentId, sequence, heard_at AS heardAt FROM bundle_acks');
}

/**
 * Keeps acknowledgements. They are no part of the change feed: nobody is told of them. The last one
 * counts and not the highest, since an agent may go back to an older state.
 */
export function recordBundleAcks(db: Database, acks: readonly BundleAckRow[]): undefined {
  for (const { agentId, sequence, heardAt } of acks) {
    db.run(
      `INSERT OR REPLACE INTO bundle_acks (agent_id, sequence, heard_at)
        SELECT id, ?, ? FROM agents WHERE id = ?`,
      sequence,
      heardAt,
      agentId,
    );
  }
  return undefined;
}

/** Forgets an agent that is gone. */
export function deleteBundleAck(db: Database, agentId: string): void {
  db.run('DELETE FROM bundle_acks WHERE agent_id = ?', agentId);
}
