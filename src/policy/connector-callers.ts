import { fail, ok, type Result } from '../base/result.ts';
import { dpuObjection } from '../rules/dpu.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { PolicyContext } from './context.ts';
import type { ConnectorCaller } from './grant.ts';
import { isExpired, isRevoked, type SvidFacts } from './svid-facts.ts';

/**
 * Whether an SVID is that of a live connector: neither expired nor revoked, its serial the newest or
 * the one before, and its node not out. Sessions are judged by it again at every change of their
 * connector. Fails with CONNECTOR_* and CONNECTORS_OFF.
 */
export function resolveConnector(peer: SvidFacts, context: PolicyContext): Result<ConnectorCaller> {
  const { id, serialDecimal: serial } = peer;
  const { connectors } = context;
  if (connectors === undefined) return connectorsOff();
  const connector = connectors.connectorBySpiffeId(id);
  if (connector === undefined) return fail('CONNECTOR_UNKNOWN', `no connector ${id.uri}`);
  if (connector.standing === 'revoked' || isRevoked(peer, context)) {
    return fail('CONNECTOR_REVOKED', `connector ${id.uri} was revoked`);
  }
  if (isExpired(peer, context)) {
    return fail('CONNECTOR_EXPIRED', `the SVID of connector ${id.uri} has expired`);
  }
  if (connector.standing === 'stopped') {
    return fail('CONNECTOR_STOPPED', `connector ${id.uri} has left`);
  }
  // One that was not certified yet has no serial at all.
  if (serial === '' || ![connector.serial, connector.previousSerial].includes(serial)) {
    return fail('CONNECTOR_NOT_ACTIVE', `connector ${id.uri} shows serial ${serial}, replaced`);
  }
  const node = requireNodeNotOut(connector.agentId, context);
  if (!node.ok) return node;
  const isFirstUse = serial === connector.serial && connector.previousSerial !== '';
  return ok({
    kind: 'connector',
    id,
    connector,
    firstUseOfSerial: isFirstUse ? serial : undefined,
  });
}

/** The refusal of everything about connectors where they are not served. */
export function connectorsOff(): Result<never> {
  return fail(
    'CONNECTORS_OFF',
    'this server serves no connectors: its server.yaml has no connectors',
  );
}

/** Whether the node that vouches for a connector is neither banned nor out. Fails with CONNECTOR_NODE. */
export function requireNodeNotOut(
  agentId: SpiffeId | undefined,
  { registry }: PolicyContext,
): Result<void> {
  if (agentId === undefined) return ok(undefined);
  const agent = registry.agent(agentId);
  if (agent?.banned) return fail('CONNECTOR_NODE', `its node ${agentId.uri} is banned`);
  const objection = agent?.quarantine ?? dpuObjection(agentId, registry.dpus.ofAgent(agentId));
  if (objection === undefined) return ok(undefined);
  return fail('CONNECTOR_NODE', `its node ${agentId.uri} is in quarantine: ${objection}`);
}
