import type { ConnectorRecord, ConnectorState } from '../rules/connector/record.ts';

/** Heartbeats that may stay out before a connector counts as lost. */
export const MISSED_HEARTBEATS = 3;

/** A clock that is further away than this makes a connector degraded, in milliseconds. */
export const CLOCK_OFFSET_DEGRADED_MS = 60_000;

/** How a connector with an open session is, as it says and as it behaves. */
export interface LiveHealth {
  readonly health: 'ok' | 'degraded' | 'draining';
  /** Why, in its own words; empty where it said nothing. */
  readonly reason: string;
  /** Its clock minus this server's, in milliseconds. */
  readonly clockOffsetMs: number;
  /** What it could not apply, and has not applied since; empty where there is nothing. */
  readonly lastNack: string;
  /** What it has not answered to for too long; empty where there is nothing. */
  readonly unanswered: string;
}

/** What a state follows from besides the record. */
export interface StateFacts {
  /** Undefined where no session is open here. */
  readonly session: LiveHealth | undefined;
  /** Unix milliseconds at which it was last heard here; 0 is never. */
  readonly lastHeardMs: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Unix milliseconds since which sessions are served here: who was in one before gets time to return. */
  readonly servingSinceMs: number;
  readonly heartbeatSeconds: number;
}

/** A state, and why; the reason is empty where the state says all. */
export interface JudgedState {
  readonly state: ConnectorState;
  readonly reason: string;
}

/** How a connector stands, by what is durable, its session and the time. */
export function stateOf(record: ConnectorRecord, facts: StateFacts): JudgedState {
  if (record.standing === 'revoked' || record.standing === 'stopped') {
    return { state: record.standing, reason: record.reason };
  }
  if (record.serial === '') return { state: 'pending', reason: '' };
  if (record.expiresAtSeconds * 1000 <= facts.nowMs) return { state: 'expired', reason: '' };
  return facts.session === undefined
    ? withoutSession(record, facts)
    : inSession(record, facts.session);
}

function inSession(record: ConnectorRecord, session: LiveHealth): JudgedState {
  if (record.standing === 'draining') return { state: 'draining', reason: record.reason };
  if (session.health === 'draining') return { state: 'draining', reason: session.reason };
  const reason = degradedBy(session);
  return reason === undefined ? { state: 'active', reason: '' } : { state: 'degraded', reason };
}

function degradedBy({
  health,
  reason,
  clockOffsetMs,
  lastNack,
  unanswered,
}: LiveHealth): string | undefined {
  if (health === 'degraded') return reason === '' ? 'it says so' : reason;
  if (lastNack !== '') return lastNack;
  if (unanswered !== '') return unanswered;
  if (Math.abs(clockOffsetMs) <= CLOCK_OFFSET_DEGRADED_MS) return undefined;
  const side = clockOffsetMs > 0 ? 'ahead' : 'behind';
  return `its clock is ${Math.round(Math.abs(clockOffsetMs) / 1000)} s ${side}`;
}

function withoutSession(record: ConnectorRecord, facts: StateFacts): JudgedState {
  const { nowMs, heartbeatSeconds, servingSinceMs } = facts;
  const heardMs = Math.max(record.lastHeardAtSeconds * 1000, facts.lastHeardMs);
  if (heardMs === 0) return { state: 'enrolled', reason: '' };
  const graceMs = MISSED_HEARTBEATS * heartbeatSeconds * 1000;
  if (nowMs - Math.max(heardMs, servingSinceMs) > graceMs) return { state: 'lost', reason: '' };
  if (record.standing === 'draining') return { state: 'draining', reason: record.reason };
  return { state: 'degraded', reason: 'no session' };
}
