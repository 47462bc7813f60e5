import { createConnectorAdminService } from '../api/connector-admin.ts';
import type { ConnectorAdminHandlers } from '../api/connector-service.ts';
import type { ApiContext } from '../api/context.ts';
import { ok } from '../base/result.ts';
import type { LiveConnectors } from '../connectors/live.ts';
import type { ConnectorParts } from '../connectors/parts.ts';
import { revokeConnector } from '../connectors/revoke.ts';

/** What operators call about connectors, over those that are served here. */
export function connectorAdmin(
  api: ApiContext,
  parts: ConnectorParts,
  live: LiveConnectors,
): ConnectorAdminHandlers {
  // The service writes the act into the ledger itself, with the connector that it was done to.
  const quiet = { ...parts, recordAct: undefined };
  return createConnectorAdminService({
    api,
    live,
    revoke: async ({ id }, reason) => {
      const revoked = await revokeConnector(quiet, id, { reason, requestedBy: '' });
      return revoked.ok ? ok(undefined) : revoked;
    },
  });
}
