import { fail, ok, type Result } from '../base/result.ts';
import { isAtLeast } from '../rules/assurance.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { AgentRecord } from '../rules/entry.ts';
import { connectorPath } from '../rules/reserved-ids.ts';
import { formatStanding } from '../rules/zones.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { connectorsOff, requireNodeNotOut } from './connector-callers.ts';
import type { PolicyContext } from './context.ts';
import type { X509Grant } from './grant.ts';
import { NO_ORIGIN, requireFresh } from './grants.ts';
import { liveAgent } from './pod-grants.ts';
import { isSealed, seal } from './seal.ts';
import { nodeStanding, requireUnvouched, requireZone } from './zones.ts';

/** Who would be a connector of which group, and the agent of its node where one vouches for it. */
export interface ConnectorWish {
  readonly group: string;
  readonly spiffeId: SpiffeId;
  readonly agentId: SpiffeId | undefined;
}

/**
 * Whether the node of who would be a connector is one that the group and the zones let it be on; answers
 * its agent where one vouches. Fails with CONNECTOR_GROUP_UNKNOWN, CONNECTOR_NODE,
 * CONNECTOR_NODE_NOT_ATTESTED, CONNECTOR_NODE_ZONE, CONNECTOR_NODE_ASSURANCE and ZONE_NOT_MET.
 */
export function requireConnectorNode(
  { group: name, spiffeId, agentId }: ConnectorWish,
  context: PolicyContext,
): Result<AgentRecord | undefined> {
  const group = groupOf(name, context);
  if (!group.ok) return group;
  const standing = requireNodeNotOut(agentId, context);
  if (!standing.ok) return standing;
  const agent = agentId === undefined ? undefined : vouchingAgent(agentId, context);
  const { requireAttestedNode, zones, assurance } = group.value;
  if (agent?.ok !== true) {
    if (requireAttestedNode || zones.length > 0 || assurance !== undefined) {
      const why = agent === undefined ? 'no attested agent vouches for it' : agent.error.message;
      return fail('CONNECTOR_NODE_NOT_ATTESTED', `group ${name} needs an attested node: ${why}`);
    }
    const unvouched = requireUnvouched(spiffeId, context.zones);
    return unvouched.ok ? ok(undefined) : unvouched;
  }
  const met = requireGroupStanding(group.value, agent.value, context);
  if (!met.ok) return met;
  const zone = requireZone(spiffeId, agent.value, context);
  return zone.ok ? agent : zone;
}

/**
 * An enrolled connector's next X.509-SVID: its first one, or one in place of that which it has. Fails as
 * {@link requireConnectorNode} does, and with CONNECTORS_OFF, REGISTRY_STALE, CONNECTOR_UNKNOWN,
 * CONNECTOR_REVOKED, CONNECTOR_STOPPED and GRANT_SPIFFE_ID.
 *
 * @param requestedBy `enrolment:<proof>` or `connector:<SPIFFE ID>`.
 */
export function grantConnectorX509(
  connectorId: string,
  requestedBy: string,
  context: PolicyContext,
): Result<X509Grant> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  const connector = standingConnector(connectorId, context);
  if (!connector.ok) return connector;
  const { group: name, spiffeId, agentId } = connector.value;
  if (spiffeId.path !== connectorPath(name, connectorId)) {
    return fail('GRANT_SPIFFE_ID', `${spiffeId.uri} is not the ID of connector ${connectorId}`);
  }
  const agent = requireConnectorNode(connector.value, context);
  if (!agent.ok) return agent;
  const group = groupOf(name, context);
  if (!group.ok) return group;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'connector',
    spiffeId,
    dnsNames: [],
    ...NO_ORIGIN,
    requestedBy,
    agentId: agent.value === undefined ? undefined : agentId,
    agentAttestedAtSeconds: agent.value?.attestedAtSeconds ?? 0,
    assurance:
      agent.value === undefined ? undefined : formatStanding(nodeStanding(agent.value, context)),
    ttlSeconds: group.value.svidTtlSeconds,
    connectorId,
  });
}

/**
 * Judges a grant of {@link grantConnectorX509} once more, right before its signature is released: the
 * connector stands, and its node meets what is demanded of it now.
 */
export function recheckConnectorGrant(grant: X509Grant, context: PolicyContext): Result<void> {
  if (!isSealed(grant)) return fail('GRANT_FORGED', 'the grant was not made by policy');
  const connector = standingConnector(grant.connectorId ?? '', context);
  if (!connector.ok) return connector;
  if (connector.value.spiffeId.uri !== grant.spiffeId.uri) {
    return fail('GRANT_OUTDATED', `connector ${grant.connectorId} was made anew`);
  }
  const node = requireConnectorNode(connector.value, context);
  return node.ok ? ok(undefined) : node;
}

/** A connector that has neither left nor been revoked. */
function standingConnector(id: string, { connectors }: PolicyContext): Result<ConnectorRecord> {
  if (connectors === undefined) return connectorsOff();
  const connector = connectors.connector(id);
  if (connector === undefined) return fail('CONNECTOR_UNKNOWN', `no connector ${id}`);
  const { standing, spiffeId } = connector;
  if (standing === 'revoked') {
    return fail('CONNECTOR_REVOKED', `connector ${spiffeId.uri} was revoked`);
  }
  if (standing === 'stopped') return fail('CONNECTOR_STOPPED', `${spiffeId.uri} has left`);
  return ok(connector);
}

function groupOf(name: string, { connectors }: PolicyContext): Result<ConnectorGroup> {
  if (connectors === undefined) return connectorsOff();
  const group = connectors.group(name);
  if (group !== undefined) return ok(group);
  return fail('CONNECTOR_GROUP_UNKNOWN', `there is no connector group ${JSON.stringify(name)}`);
}

/** An agent whose word counts now. */
function vouchingAgent(id: SpiffeId, context: PolicyContext): Result<AgentRecord> {
  const agent = liveAgent(id, context);
  if (agent.ok) return agent;
  return fail('CONNECTOR_NODE_NOT_ATTESTED', agent.error.message);
}

function requireGroupStanding(
  { name, zones, assurance }: ConnectorGroup,
  agent: AgentRecord,
  context: PolicyContext,
): Result<void> {
  const node = nodeStanding(agent, context);
  const { uri } = agent.id;
  if (zones.length > 0 && (node.zone === undefined || !zones.includes(node.zone))) {
    const has = node.zone === undefined ? 'no zone' : `zone ${node.zone}`;
    const wanted = `group ${name} is for nodes in zone ${zones.join(', ')}`;
    return fail('CONNECTOR_NODE_ZONE', `${wanted}; ${uri} has ${has}`);
  }
  if (assurance !== undefined && !isAtLeast(node.binding, assurance)) {
    const wanted = `group ${name} needs the assurance "${assurance}"`;
    return fail('CONNECTOR_NODE_ASSURANCE', `${wanted}; ${uri} has "${node.binding ?? 'none'}"`);
  }
  return ok(undefined);
}
