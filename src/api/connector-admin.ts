import type { ConnectorAdminService } from '../gen/signet/connector/v1/admin.ts';
import type { Handlers } from '../rpc/service.ts';
import {
  commandConnectors,
  deleteConnectors,
  drainConnectors,
  resumeConnectors,
  revokeConnectors,
} from './connector-acts.ts';
import { deleteBoundKey, listBoundKeys, registerBoundKey } from './connector-bound-keys.ts';
import { listDiagnostics } from './connector-diagnostics.ts';
import { getConnector, listConnectors } from './connector-filter.ts';
import { deleteGroup, getGroup, listGroups, putGroup } from './connector-groups.ts';
import {
  createProvisioningKey,
  deleteProvisioningKey,
  listProvisioningKeys,
} from './connector-keys.ts';
import {
  deleteSegment,
  explainFlow,
  getSegment,
  listSegments,
  putSegment,
} from './connector-segments.ts';
import { watchConnectors } from './connector-watch.ts';
import type { ConnectorAdminContext } from './connector-writes.ts';

/** `signet.connector.v1.ConnectorAdmin`: what operators see of connectors, and do to them. */
export function createConnectorAdminService(
  admin: ConnectorAdminContext,
): Handlers<ConnectorAdminService> {
  return {
    putGroup: (request, context) => putGroup(admin, request, context),
    getGroup: ({ name }) => getGroup(admin, name),
    listGroups: (request) => listGroups(admin, request),
    deleteGroup: ({ name }, context) => deleteGroup(admin, name, context),
    putSegment: (request, context) => putSegment(admin, request, context),
    getSegment: ({ name }) => getSegment(admin, name),
    listSegments: (request) => listSegments(admin, request),
    deleteSegment: ({ name }, context) => deleteSegment(admin, name, context),
    explainFlow: (request) => explainFlow(admin, request),
    createProvisioningKey: (request, context) => createProvisioningKey(admin, request, context),
    listProvisioningKeys: (request) => listProvisioningKeys(admin, request),
    deleteProvisioningKey: ({ name }, context) => deleteProvisioningKey(admin, name, context),
    registerBoundKey: (request, context) => registerBoundKey(admin, request, context),
    listBoundKeys: (request) => listBoundKeys(admin, request),
    deleteBoundKey: ({ name }, context) => deleteBoundKey(admin, name, context),
    listConnectors: (request) => listConnectors(admin, request),
    getConnector: ({ name }) => getConnector(admin, name),
    drainConnectors: (request, context) => drainConnectors(admin, request, context),
    resumeConnectors: (request, context) => resumeConnectors(admin, request, context),
    revokeConnectors: (request, context) => revokeConnectors(admin, request, context),
    commandConnectors: (request, context) => commandConnectors(admin, request, context),
    listDiagnostics: (request) => listDiagnostics(admin, request),
    deleteConnectors: (request, context) => deleteConnectors(admin, request, context),
    watchConnectors: (request, stream, context) => watchConnectors(admin, request, stream, context),
  };
}
