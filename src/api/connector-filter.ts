import { fail, ok, type Result } from '../base/result.ts';
import {
  type ConnectorInfo,
  type ListConnectorsRequest,
  ListConnectorsResponse,
} from '../gen/signet/connector/v1/admin.ts';
import type { Encoded } from '../rpc/service.ts';
import { CONNECTOR_STATES, type ConnectorRecord } from '../rules/connector/record.ts';
import { fitAnswer } from './batch.ts';
import { unknownConnector } from './connector-acts.ts';
import { knownGroup } from './connector-groups.ts';
import type { ConnectorAdminContext } from './connector-writes.ts';
import { toWireConnector } from './convert/connectors.ts';

/** Whether a connector is among those that are asked for, as it stands now. */
export type ConnectorFilter = (connector: ConnectorRecord) => boolean;

/** Reads which connectors a list or a watch is of. */
export function connectorFilter(
  admin: ConnectorAdminContext,
  { group, states }: Pick<ListConnectorsRequest, 'group' | 'states'>,
): Result<ConnectorFilter> {
  const known = CONNECTOR_STATES.filter((state) => states.includes(state));
  if (known.length !== new Set(states).size) {
    return fail('FIELD_INVALID', `states: one of ${CONNECTOR_STATES.join(', ')} each`);
  }
  if (group !== '') {
    const found = knownGroup(admin, group);
    if (!found.ok) return found;
  }
  return ok(
    (connector) =>
      (group === '' || connector.group === group) &&
      (known.length === 0 || known.includes(admin.live.stateOf(connector).state)),
  );
}

/** Connectors in the order of their IDs. */
export function listConnectors(
  admin: ConnectorAdminContext,
  request: ListConnectorsRequest,
): Result<Encoded> {
  const filter = connectorFilter(admin, request);
  if (!filter.ok) return filter;
  const page = admin.api.registry.connectors.listConnectors(filter.value, request);
  if (!page.ok) return page;
  const { items, nextPageToken } = page.value;
  return fitAnswer(ListConnectorsResponse, {
    connectors: items.map((connector) => toWireConnector(connector, admin.live)),
    nextPageToken,
  });
}

/** One connector. Fails with CONNECTOR_NOT_FOUND. */
export function getConnector(admin: ConnectorAdminContext, id: string): Result<ConnectorInfo> {
  const connector = admin.api.registry.connectors.connector(id);
  return connector === undefined
    ? unknownConnector(id)
    : ok(toWireConnector(connector, admin.live));
}
