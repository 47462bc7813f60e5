import { fail, ok, type Result } from '../base/result.ts';
import {
  ListGroupsResponse,
  type ListRequest,
  type PutGroupRequest,
  type ConnectorGroup as WireGroup,
} from '../gen/signet/connector/v1/admin.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import { checkNewcomers } from '../rules/connector/conflicts.ts';
import type { ConnectorGroup, ConnectorGroupDraft } from '../rules/connector/group.ts';
import { checkGroupDraft } from '../rules/connector/group-checks.ts';
import { serves } from '../rules/connector/serves.ts';
import { fitAnswer } from './batch.ts';
import {
  type ConnectorAdminContext,
  followed,
  noteConnectorAct,
  putValue,
} from './connector-writes.ts';
import { fromWireGroup, toWireGroup } from './convert/connector-groups.ts';

/** Makes a group, or changes the one of its name. */
export async function putGroup(
  admin: ConnectorAdminContext,
  request: PutGroupRequest,
  context: CallContext,
): Promise<Result<WireGroup>> {
  const stated = fromWireGroup(request.group);
  if (!stated.ok) return stated;
  const draft = checkGroupDraft(stated.value);
  if (!draft.ok) return draft;
  const free = checkSegments(admin, draft.value);
  if (!free.ok) return free;
  const { connectors } = admin.api.registry;
  const { name } = draft.value;
  const written = await putValue({
    what: `group ${name}`,
    existsCode: 'CONNECTOR_GROUP_EXISTS',
    expectedRevision: request.expectedRevision,
    current: () => connectors.group(name),
    write: (expectedRevision) =>
      connectors.writeConnectorGroups([{ draft: draft.value, expectedRevision }]),
  });
  if (!written.ok) return written;
  await noteConnectorAct(admin, context, { act: 'put', connector: `group/${name}` });
  return ok(wireOf(admin, written.value));
}

/** One group. Fails with CONNECTOR_GROUP_UNKNOWN. */
export function getGroup(admin: ConnectorAdminContext, name: string): Result<WireGroup> {
  const group = knownGroup(admin, name);
  return group.ok ? ok(wireOf(admin, group.value)) : group;
}

/** Groups in the order of their names. */
export function listGroups(admin: ConnectorAdminContext, request: ListRequest): Result<Encoded> {
  const page = admin.api.registry.connectors.listGroups(request);
  if (!page.ok) return page;
  const { items, nextPageToken } = page.value;
  return fitAnswer(ListGroupsResponse, {
    groups: items.map((group) => wireOf(admin, group)),
    nextPageToken,
  });
}

/** Deletes a group in which nobody is. */
export async function deleteGroup(
  admin: ConnectorAdminContext,
  name: string,
  context: CallContext,
): Promise<Result<Record<string, never>>> {
  const group = knownGroup(admin, name);
  if (!group.ok) return group;
  const { origin } = group.value;
  if (origin !== '') return followed(`group ${name}`, origin);
  const nowSeconds = Math.floor(admin.api.clock.nowMs() / 1000);
  const { connectors } = admin.api.registry;
  const deleted = await connectors.deleteConnectorGroups([{ name, origin: '' }], nowSeconds);
  if (!deleted.ok) return deleted;
  if (deleted.value[0] === 'missing') return unknownGroup(name);
  if (deleted.value[0] === 'in-use') {
    return fail('CONNECTOR_GROUP_IN_USE', `group ${name} has connectors that have not ended`);
  }
  await noteConnectorAct(admin, context, { act: 'delete', connector: `group/${name}` });
  return ok({});
}

/** The group of a name. Fails with CONNECTOR_GROUP_UNKNOWN. */
export function knownGroup(admin: ConnectorAdminContext, name: string): Result<ConnectorGroup> {
  const group = admin.api.registry.connectors.group(name);
  return group === undefined ? unknownGroup(name) : ok(group);
}

/** No group has this name. */
export function unknownGroup(name: string): Result<never> {
  return fail('CONNECTOR_GROUP_UNKNOWN', `there is no group ${JSON.stringify(name.slice(0, 80))}`);
}

/** Whether no segment that the group comes to serve claims what another one of it does. */
function checkSegments(admin: ConnectorAdminContext, draft: ConnectorGroupDraft): Result<void> {
  const { connectors } = admin.api.registry;
  const before = new Set(connectors.segmentsOf(draft.name).map(({ id }) => id));
  const after = [...connectors.segments()].filter((segment) => serves(draft, segment));
  return checkNewcomers(draft.name, before, after);
}

function wireOf({ live }: ConnectorAdminContext, group: ConnectorGroup): WireGroup {
  return toWireGroup(group, live.groupStatus(group.name));
}
