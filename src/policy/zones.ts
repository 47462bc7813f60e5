import { fail, ok, type Result } from '../base/result.ts';
import type { Admission } from '../registry/overlay.ts';
import type { AgentRecord } from '../rules/entry.ts';
import {
  NO_ZONES,
  type NodeStanding,
  rulesFor,
  standingOf,
  unmet,
  unmetDemand,
  type ZonePolicy,
} from '../rules/zones.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { PolicyContext } from './context.ts';

/** How the node of an agent stands now. */
export function nodeStanding(agent: AgentRecord, context: PolicyContext): NodeStanding {
  return standingOf(agent, context.registry.dpus.ofAgent(agent.id), context.zones ?? NO_ZONES);
}

/** Whether a node may have an identity (design §5). Fails with ZONE_NOT_MET. */
export function requireZone(
  spiffeId: SpiffeId,
  agent: AgentRecord,
  context: PolicyContext,
): Result<void> {
  const { zones = NO_ZONES } = context;
  if (zones.rules.length === 0) return ok(undefined);
  const lacking = unmetDemand(spiffeId, nodeStanding(agent, context), zones);
  return lacking === undefined ? ok(undefined) : fail('ZONE_NOT_MET', lacking);
}

/** Whether an operator may make an identity by hand: no node vouches for it. Fails with ZONE_NOT_MET. */
export function requireMintable(spiffeId: SpiffeId, zones: ZonePolicy = NO_ZONES): Result<void> {
  for (const { path, mint } of rulesFor(spiffeId, zones)) {
    if (!mint) return fail('ZONE_NOT_MET', `${path} may not be minted by hand: zones.rules[].mint`);
  }
  return ok(undefined);
}

/** Whether an identity may be had on a node of which nothing is known. Fails with ZONE_NOT_MET. */
export function requireUnvouched(spiffeId: SpiffeId, zones: ZonePolicy = NO_ZONES): Result<void> {
  const unknown = { method: 'none', binding: undefined, zone: undefined, release: undefined };
  const lacking = unmetDemand(spiffeId, unknown, zones);
  return lacking === undefined ? ok(undefined) : fail('ZONE_NOT_MET', lacking);
}

/** What nodes may have of what their agents reach; undefined where there are no demands. */
export function createAdmission(zones: ZonePolicy): Admission | undefined {
  if (zones.rules.length === 0) return undefined;
  return (agent, dpu) => {
    const node = standingOf(agent, dpu, zones);
    const refused = zones.rules.filter((rule) => unmet(rule, node) !== undefined);
    if (refused.length === 0) return undefined;
    return ({ spiffeId }) => rulesFor(spiffeId, { rules: refused, nodes: [] }).length === 0;
  };
}
