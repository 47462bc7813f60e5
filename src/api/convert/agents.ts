import { fail, ok, type Result } from '../../base/result.ts';
import type {
  CountAgentsRequest_Filter,
  ListAgentsRequest_Filter,
} from '../../gen/spire/api/server/agent/v1/agent.ts';
import type { Agent } from '../../gen/spire/api/types/agent.ts';
import type { AgentRecord } from '../../rules/entry.ts';
import type { AgentFilter } from '../../rules/match.ts';
import { toWireId } from './ids.ts';
import { fromWireSelectorMatch, toWireSelectors } from './selectors.ts';

/** SPIRE writes and reads the time of `by_expires_before` in Go's default form. */
const GO_TIME =
  /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(?:\.\d+)? ([+-]\d{2})(\d{2})(?: [A-Z0-9+-]+)?$/;

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** An agent in its wire form, whole. */
export function toWireAgent(agent: AgentRecord): Agent {
  return {
    id: toWireId(agent.id),
    attestationType: agent.attestationType,
    x509svidSerialNumber: agent.serial,
    x509svidExpiresAt: BigInt(agent.expiresAtSeconds),
    selectors: toWireSelectors(agent.selectors),
    banned: agent.banned,
    canReattest: agent.canReattest,
    agentVersion: agent.agentVersion,
  };
}

/** A filter of ListAgents and CountAgents. */
export function fromWireAgentFilter(
  message: ListAgentsRequest_Filter | CountAgentsRequest_Filter | undefined,
): Result<AgentFilter> {
  if (message === undefined) return ok({});
  const selectors = fromWireSelectorMatch(message.bySelectorMatch, 'by_selector_match');
  if (!selectors.ok) return selectors;
  const expiresBefore = fromWireTime(message.byExpiresBefore);
  if (!expiresBefore.ok) return expiresBefore;
  return ok({
    attestationType: message.byAttestationType === '' ? undefined : message.byAttestationType,
    selectors: selectors.value,
    banned: message.byBanned,
    canReattest: message.byCanReattest,
    expiresBeforeSeconds: expiresBefore.value,
  });
}

/** Unix seconds of a time in RFC 3339 or Go's default form; undefined when empty. */
function fromWireTime(text: string): Result<number | undefined> {
  if (text === '') return ok(undefined);
  const go = GO_TIME.exec(text);
  const iso = go === null ? text : `${go[1]}T${go[2]}${go[3]}:${go[4]}`;
  const ms = RFC3339.test(iso) ? Date.parse(iso) : Number.NaN;
  if (Number.isNaN(ms)) {
    return fail('FIELD_INVALID', 'by_expires_before must be a time such as 2030-01-31T12:00:00Z');
  }
  return ok(Math.floor(ms / 1000));
}
