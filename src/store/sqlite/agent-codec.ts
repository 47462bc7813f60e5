import { fail, ok, type Result } from '../../base/result.ts';
import { decodeAssurance, encodeAssurance } from '../../rules/assurance.ts';
import type { AgentRecord } from '../../rules/entry.ts';
import type { Selector } from '../../rules/selector.ts';
import type { Interner } from './interner.ts';
import { type AgentRow, agentChecksum } from './rows.ts';

/** The form that selectors are stored in: JSON. */
export function encodeSelectors(selectors: readonly Selector[]): string {
  return JSON.stringify(selectors.map(({ type, value }) => [type, value]));
}

/** Encodes an agent. */
export function encodeAgent(agent: AgentRecord): Omit<AgentRow, 'checksum'> {
  return {
    id: agent.id.uri,
    attestationType: agent.attestationType,
    selectors: encodeSelectors(agent.selectors),
    serial: agent.serial,
    expiresAt: agent.expiresAtSeconds,
    newSerial: agent.newSerial ?? null,
    newExpiresAt: agent.newExpiresAtSeconds ?? null,
    banned: agent.banned ? 1 : 0,
    canReattest: agent.canReattest ? 1 : 0,
    agentVersion: agent.agentVersion,
    attestedAt: agent.attestedAtSeconds,
    assurance: agent.assurance === undefined ? null : encodeAssurance(agent.assurance),
  };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeAgent(row: AgentRow, intern: Interner): Result<AgentRecord> {
  if (row.checksum !== agentChecksum(row)) return damaged(row.id, 'checksum differs');
  const id = intern.newSpiffeId(row.id);
  if (!id.ok) return damaged(row.id, 'ID is malformed');
  const selectors: Selector[] = [];
  // The checksum vouches that this program wrote it, in this shape.
  for (const [type, value] of JSON.parse(row.selectors) as [string, string][]) {
    const selector = intern.selector(type, value);
    if (!selector.ok) return damaged(row.id, 'selector is malformed');
    selectors.push(selector.value);
  }
  const assurance = row.assurance === null ? undefined : decodeAssurance(row.assurance);
  if (row.assurance !== null && assurance === undefined) {
    return damaged(row.id, 'assurance record is malformed');
  }
  return ok({
    id: id.value,
    attestationType: row.attestationType,
    selectors,
    serial: row.serial,
    expiresAtSeconds: row.expiresAt,
    newSerial: row.newSerial ?? undefined,
    newExpiresAtSeconds: row.newExpiresAt ?? undefined,
    banned: row.banned === 1,
    canReattest: row.canReattest === 1,
    agentVersion: row.agentVersion,
    attestedAtSeconds: row.attestedAt,
    assurance,
  });
}

function damaged(id: string, why: string): Result<never> {
  return fail('STORE_CORRUPT', `agent ${id} is damaged: ${why}`);
}
