import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectorRecord } from '../../test/support/connectors.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import { CLOCK_OFFSET_DEGRADED_MS, type LiveHealth, type StateFacts, stateOf } from './state.ts';

const NOW_MS = 1_800_000_000_000;
const NOW_S = NOW_MS / 1000;

const SESSION: LiveHealth = {
  health: 'ok',
  reason: '',
  clockOffsetMs: 0,
  lastNack: '',
  unanswered: '',
};

const FACTS: StateFacts = {
  session: undefined,
  lastHeardMs: 0,
  nowMs: NOW_MS,
  servingSinceMs: NOW_MS - 3_600_000,
  heartbeatSeconds: 30,
};

const ALIVE = { serial: '1', expiresAtSeconds: NOW_S + 60, lastHeardAtSeconds: NOW_S - 1 };

interface Case {
  readonly name: string;
  readonly record?: Partial<ConnectorRecord>;
  readonly session?: Partial<LiveHealth>;
  readonly facts?: Partial<StateFacts>;
  readonly state: string;
  readonly reason?: string;
}

const CASES: readonly Case[] = [
  { name: 'no SVID yet', record: { serial: '' }, state: 'pending' },
  { name: 'an SVID, never heard', record: { lastHeardAtSeconds: 0 }, state: 'enrolled' },
  { name: 'a session', session: {}, state: 'active' },
  {
    name: 'a session before the record says so',
    record: { lastHeardAtSeconds: 0 },
    session: {},
    state: 'active',
  },
  {
    name: 'it says that it is degraded',
    session: { health: 'degraded', reason: 'disk' },
    state: 'degraded',
    reason: 'disk',
  },
  {
    name: 'a nack',
    session: { lastNack: 'segments 2-a: no' },
    state: 'degraded',
    reason: 'segments 2-a: no',
  },
  {
    name: 'no answer',
    session: { unanswered: 'segments 2-a' },
    state: 'degraded',
    reason: 'segments 2-a',
  },
  {
    name: 'a clock at the limit',
    session: { clockOffsetMs: -CLOCK_OFFSET_DEGRADED_MS },
    state: 'active',
  },
  {
    name: 'a clock past the limit',
    session: { clockOffsetMs: -CLOCK_OFFSET_DEGRADED_MS - 1 },
    state: 'degraded',
    reason: 'its clock is 60 s behind',
  },
  {
    name: 'an hour ahead',
    session: { clockOffsetMs: 3_600_000 },
    state: 'degraded',
    reason: 'its clock is 3600 s ahead',
  },
  {
    name: 'it was told to drain',
    record: { standing: 'draining', reason: 'upgrade' },
    session: {},
    state: 'draining',
    reason: 'upgrade',
  },
  { name: 'it drains by itself', session: { health: 'draining' }, state: 'draining' },
  { name: 'it drains and lost its session', record: { standing: 'draining' }, state: 'draining' },
  {
    name: 'silent for less than three heartbeats',
    record: { lastHeardAtSeconds: NOW_S - 90 },
    state: 'degraded',
    reason: 'no session',
  },
  { name: 'silent for more', record: { lastHeardAtSeconds: NOW_S - 91 }, state: 'lost' },
  {
    name: 'silent for more, but heard here',
    record: { lastHeardAtSeconds: NOW_S - 91 },
    facts: { lastHeardMs: NOW_MS - 90_000 },
    state: 'degraded',
    reason: 'no session',
  },
  {
    name: 'silent and draining',
    record: { standing: 'draining', lastHeardAtSeconds: NOW_S - 91 },
    state: 'lost',
  },
  {
    name: 'silent for long, of a server that started nearly three heartbeats ago',
    record: { lastHeardAtSeconds: NOW_S - 3_000 },
    facts: { servingSinceMs: NOW_MS - 89_999 },
    state: 'degraded',
    reason: 'no session',
  },
  {
    name: 'silent for long, of a server that started three heartbeats ago',
    record: { lastHeardAtSeconds: NOW_S - 3_000 },
    facts: { servingSinceMs: NOW_MS - 90_000 },
    state: 'degraded',
    reason: 'no session',
  },
  {
    name: 'silent for long, of a server that started a moment before that',
    record: { lastHeardAtSeconds: NOW_S - 3_000 },
    facts: { servingSinceMs: NOW_MS - 90_001 },
    state: 'lost',
  },
  {
    name: 'never heard, however long the server has been there',
    record: { lastHeardAtSeconds: 0 },
    state: 'enrolled',
  },
  {
    name: 'its SVID has a second left',
    record: { expiresAtSeconds: NOW_S + 1 },
    state: 'degraded',
    reason: 'no session',
  },
  { name: 'its SVID ended', record: { expiresAtSeconds: NOW_S }, session: {}, state: 'expired' },
  {
    name: 'it left',
    record: { standing: 'stopped', reason: 'bye', expiresAtSeconds: 1 },
    state: 'stopped',
    reason: 'bye',
  },
  {
    name: 'it was revoked',
    record: { standing: 'revoked', reason: 'lost laptop' },
    session: {},
    state: 'revoked',
    reason: 'lost laptop',
  },
];

describe('stateOf', () => {
  for (const { name, record, session, facts, state, reason = '' } of CASES) {
    it(`${name}: ${state}`, () => {
      const live = session === undefined ? undefined : { ...SESSION, ...session };
      const judged = stateOf(connectorRecord({ ...ALIVE, ...record }), {
        ...FACTS,
        ...facts,
        session: live,
      });
      assert.deepEqual(judged, { state, reason });
    });
  }
});
