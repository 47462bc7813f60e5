import { fail, ok, type Result } from '../base/result.ts';
import { toWireSegment } from '../connectors/wire-segments.ts';
import {
  type ExplainFlowRequest,
  type ExplainFlowResponse,
  type ListRequest,
  ListSegmentsResponse,
  type PutSegmentRequest,
  type ConnectorSegment as WireSegment,
} from '../gen/signet/connector/v1/admin.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import { checkSegmentDraft } from '../rules/connector/checks.ts';
import { conflicting } from '../rules/connector/conflicts.ts';
import { parseFlowHost } from '../rules/connector/host.ts';
import { decideFlow, type FlowReason } from '../rules/connector/match.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../rules/connector/segment.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { fitAnswer } from './batch.ts';
import { knownGroup } from './connector-groups.ts';
import {
  type ConnectorAdminContext,
  followed,
  noteConnectorAct,
  putValue,
} from './connector-writes.ts';
import { fromWireProtocol, fromWireSegment } from './convert/connector-segments.ts';

/** Why a flow is allowed or not, in words. */
const REASONS: Readonly<Record<FlowReason, string>> = {
  allowed: 'the segment allows it',
  'no-segment': 'no segment of the group lists it',
  draining: 'the segment drains: no new flows',
  'client-not-allowed': 'the segment does not list the client',
};

/** Makes a segment, or changes the one of its ID; refused where another claims the same flows. */
export async function putSegment(
  admin: ConnectorAdminContext,
  request: PutSegmentRequest,
  context: CallContext,
): Promise<Result<WireSegment>> {
  const stated = fromWireSegment(request.segment);
  if (!stated.ok) return stated;
  const draft = checkSegmentDraft(stated.value);
  if (!draft.ok) return draft;
  const free = checkGroups(admin, draft.value);
  if (!free.ok) return free;
  const { connectors } = admin.api.registry;
  const { id } = draft.value;
  const written = await putValue({
    what: `segment ${id}`,
    existsCode: 'CONNECTOR_SEGMENT_EXISTS',
    expectedRevision: request.expectedRevision,
    current: () => connectors.segment(id),
    write: (expectedRevision) =>
      connectors.writeConnectorSegments([{ draft: draft.value, expectedRevision }]),
  });
  if (!written.ok) return written;
  await noteConnectorAct(admin, context, { act: 'put', connector: `segment/${id}` });
  return ok(wireOf(admin, written.value));
}

/** One segment. Fails with CONNECTOR_SEGMENT_NOT_FOUND. */
export function getSegment(admin: ConnectorAdminContext, id: string): Result<WireSegment> {
  const segment = admin.api.registry.connectors.segment(id);
  return segment === undefined ? unknownSegment(id) : ok(wireOf(admin, segment));
}

/** Segments in the order of their IDs; only those that a group serves where one is named. */
export function listSegments(
  admin: ConnectorAdminContext,
  { group, ...query }: ListRequest,
): Result<Encoded> {
  if (group !== '') {
    const known = knownGroup(admin, group);
    if (!known.ok) return known;
  }
  const page = admin.api.registry.connectors.listSegments(group || undefined, query);
  if (!page.ok) return page;
  const { items, nextPageToken } = page.value;
  return fitAnswer(ListSegmentsResponse, {
    segments: items.map((segment) => wireOf(admin, segment)),
    nextPageToken,
  });
}

/** Deletes a segment: its flows are not reachable any more. */
export async function deleteSegment(
  admin: ConnectorAdminContext,
  id: string,
  context: CallContext,
): Promise<Result<Record<string, never>>> {
  const { connectors } = admin.api.registry;
  const segment = connectors.segment(id);
  if (segment === undefined) return unknownSegment(id);
  if (segment.origin !== '') return followed(`segment ${id}`, segment.origin);
  const deleted = await connectors.deleteConnectorSegments([{ name: id, origin: '' }]);
  if (!deleted.ok) return deleted;
  if (deleted.value[0] !== 'deleted') return unknownSegment(id);
  await noteConnectorAct(admin, context, { act: 'delete', connector: `segment/${id}` });
  return ok({});
}

/** Which segment a flow would fall under: of those that are sent, as connectors decide it. */
export function explainFlow(
  admin: ConnectorAdminContext,
  request: ExplainFlowRequest,
): Result<ExplainFlowResponse> {
  const group = knownGroup(admin, request.group);
  if (!group.ok) return group;
  const protocol = fromWireProtocol(request.protocol);
  if (!protocol.ok) return protocol;
  const { host, port, clientId } = request;
  if (parseFlowHost(host) === undefined) {
    return fail('FIELD_INVALID', 'host: a DNS name or an address');
  }
  if (port < 1 || port > 65_535) return fail('FIELD_INVALID', 'port: 1 to 65535');
  const client = clientId === '' ? undefined : parseSpiffeId(clientId);
  if (client !== undefined && !client.ok) {
    return fail('FIELD_INVALID', `client_id: ${client.error.message}`);
  }
  const { served } = admin.api.registry.connectors.servedOf(group.value.name);
  const flow = { host, port, protocol: protocol.value };
  const decided = decideFlow(served.values(), flow, client?.value.uri);
  return ok({
    allowed: decided.allowed,
    segmentId: decided.segment?.id ?? '',
    reason: REASONS[decided.reason],
    shadowedIds: decided.shadowed.map(({ id }) => id),
  });
}

/** Whether the groups that a segment names are there, and nobody in its groups claims the same. */
function checkGroups(admin: ConnectorAdminContext, draft: ConnectorSegmentDraft): Result<void> {
  const { connectors } = admin.api.registry;
  for (const name of draft.groups) {
    const known = knownGroup(admin, name);
    if (!known.ok) return known;
  }
  for (const name of connectors.groupsOf({ ...draft, revision: 0n, createdRevision: 0n })) {
    const conflict = connectors.servedOf(name).conflictWith(draft);
    if (conflict !== undefined) return conflicting(name, draft.id, conflict);
  }
  return ok(undefined);
}

function unknownSegment(id: string): Result<never> {
  return fail(
    'CONNECTOR_SEGMENT_NOT_FOUND',
    `there is no segment ${JSON.stringify(id.slice(0, 80))}`,
  );
}

function wireOf({ live }: ConnectorAdminContext, segment: ConnectorSegment): WireSegment {
  const { servedBy, conflicts, healthyConnectors } = live.segmentStatus(segment);
  return {
    spec: { segment: toWireSegment(segment), groups: [...segment.groups] },
    revision: segment.revision,
    origin: segment.origin,
    servedBy: [...servedBy],
    conflicts: [...conflicts],
    healthyConnectors,
  };
}
