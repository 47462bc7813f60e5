import { fail, ok, type Result } from '../../base/result.ts';
import { encodeAssurance } from '../../rules/assurance.ts';
import type { AgentChange } from '../store.ts';
import { encodeSelectors } from './agent-codec.ts';
import { deleteBundleAck } from './bundle-acks.ts';
import { appendChange } from './changes.ts';
import type { Database } from './database.ts';
import { writeDpu } from './dpus.ts';
import { createEntry, deleteEntriesMadeFor } from './entries.ts';
import type { ArgsOf } from './protocol.ts';
import { type AgentRow, agentChecksum } from './rows.ts';

const COLUMNS = `id, attestation_type AS attestationType, selectors, serial,
  expires_at AS expiresAt, new_serial AS newSerial, new_expires_at AS newExpiresAt, banned,
  can_reattest AS canReattest, agent_version AS agentVersion, attested_at AS attestedAt, checksum, assurance`;

/** The agent with an ID. */
export function findAgent(db: Database, id: string): AgentRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM agents WHERE id = ?`, id);
}

/** All agents in the order of their IDs. */
export function allAgents(db: Database): readonly AgentRow[] {
  return db.all(`SELECT ${COLUMNS} FROM agents ORDER BY id`);
}

/** Makes or replaces an agent, with its alias, its DPU and the answer kept for a retry. */
export function recordAttestation(
  db: Database,
  { agent, alias, answer, dpu, now }: ArgsOf<'recordAttestation'>,
): Result<undefined> {
  // Asked in the transaction that writes: a ban that came a moment ago is not undone.
  if (findAgent(db, agent.id)?.banned === 1) {
    const reason = 'AGENT_BANNED';
    return fail(reason, `agent ${agent.id} is banned`, { details: { reason } });
  }
  // Before the agent: a quarantine that came a moment ago is not undone either.
  if (dpu !== undefined && writeDpu(db, dpu).outcome === 'conflict') {
    return fail('STORE_CONFLICT', `the DPU ${dpu.dpu.serial} changed meanwhile`);
  }
  writeAgent(db, agent);
  if (alias !== undefined) createEntry(db, alias, now, agent.id);
  if (answer !== undefined) {
    db.run(
      'UPDATE join_tokens SET answer = ? WHERE token_hash = ?',
      answer.answer,
      answer.tokenHash,
    );
  }
  return ok(undefined);
}

/** Applies a step to an agent as it stands. */
export function changeAgent(
  db: Database,
  { id, change }: ArgsOf<'changeAgent'>,
): AgentRow | undefined {
  const before = findAgent(db, id);
  if (before === undefined) return undefined;
  const after = applyChange(before, change);
  return after === before ? before : writeAgent(db, after);
}

/** Deletes an agent and what came with it. */
export function deleteAgent(db: Database, { id }: ArgsOf<'deleteAgent'>): boolean {
  const deleted = db.run('DELETE FROM agents WHERE id = ?', id) > 0;
  if (deleted) {
    appendChange(db, 'agent', id);
    deleteBundleAck(db, id);
    deleteEntriesMadeFor(db, id);
  }
  return deleted;
}

/** Deletes agents that expired by a moment, never banned ones; answers how many. */
export function pruneAgents(
  db: Database,
  { expiredBySeconds, nonReattestable, limit }: ArgsOf<'pruneAgents'>,
): number {
  const ids = db.all<{ id: string }>(
    `SELECT id FROM agents
     WHERE max(expires_at, coalesce(new_expires_at, 0)) <= ? AND banned = 0 AND can_reattest >= ?
     ORDER BY expires_at LIMIT ?`,
    expiredBySeconds,
    nonReattestable ? 0 : 1,
    limit,
  );
  for (const agent of ids) deleteAgent(db, agent);
  return ids.length;
}

/** The row after a step; the same object where the step has no effect. */
function applyChange(row: AgentRow, change: AgentChange): AgentRow {
  switch (change.kind) {
    case 'renewed':
      if (row.banned === 1) return row;
      return { ...row, newSerial: change.newSerial, newExpiresAt: change.newExpiresAtSeconds };
    case 'promoted':
      if (row.newSerial !== change.serial || row.newExpiresAt === null) return row;
      return {
        ...row,
        serial: change.serial,
        expiresAt: row.newExpiresAt,
        newSerial: null,
        newExpiresAt: null,
      };
    case 'confirmed':
      if (row.banned === 1 || row.serial !== change.serial) return row;
      return {
        ...row,
        assurance: encodeAssurance(change.assurance),
        selectors: encodeSelectors(change.selectors),
      };
    case 'banned':
      return row.banned === 1 ? row : { ...row, banned: 1 };
    case 'status':
      return row.agentVersion === change.agentVersion
        ? row
        : { ...row, agentVersion: change.agentVersion };
  }
}

function writeAgent(db: Database, agent: Omit<AgentRow, 'checksum'>): AgentRow {
  const row = { ...agent, checksum: agentChecksum(agent) };
  db.run(
    'INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    row.id,
    row.attestationType,
    row.selectors,
    row.serial,
    row.expiresAt,
    row.newSerial,
    row.newExpiresAt,
    row.banned,
    row.canReattest,
    row.agentVersion,
    row.attestedAt,
    row.checksum,
    row.assurance,
  );
  appendChange(db, 'agent', row.id);
  return row;
}
