import { ok, type Result } from '../../base/result.ts';
import {
  allPages,
  CONNECTOR_PAGE_SIZE,
  type ConnectorCall,
  listConnectors,
  withConnectors,
} from '../../cli/connector-calls.ts';
import type { CliIo, Input } from '../../cli/spec.ts';
import type {
  ConnectorGroup,
  ConnectorInfo,
  ConnectorSegment,
  ListGroupsResponse,
  ListSegmentsResponse,
} from '../../gen/signet/connector/v1/admin.ts';
import type { ConnectorFacts, GroupFacts, InstanceFacts, SegmentFacts } from '../connector-rows.ts';

/** Groups, segments and connectors as the server tells them. */
export async function connectorsOfServer(input: Input, io: CliIo): Promise<Result<ConnectorFacts>> {
  let facts: ConnectorFacts = { groups: [], segments: [], instances: [] };
  const asked = await withConnectors(input, io, async (call) => {
    const groups = await listGroups(call);
    if (!groups.ok) return groups;
    const segments = await listSegments(call);
    if (!segments.ok) return segments;
    const connectors = await listConnectors(call, { group: '', states: [] });
    if (!connectors.ok) return connectors;
    facts = {
      groups: groups.value.map(groupFacts),
      segments: segments.value.map(segmentFacts),
      instances: connectors.value.map(instanceFacts),
    };
    return ok(undefined);
  });
  return asked.ok ? ok(facts) : asked;
}

function listGroups(call: ConnectorCall): Promise<Result<readonly ConnectorGroup[]>> {
  return allPages(
    (pageToken) =>
      call<ListGroupsResponse>('listing groups', (client) => (m, o, done) => {
        const request = { group: '', pageSize: CONNECTOR_PAGE_SIZE, pageToken };
        return client.listGroups(request, m, o, done);
      }),
    ({ groups }) => groups,
  );
}

function listSegments(call: ConnectorCall): Promise<Result<readonly ConnectorSegment[]>> {
  return allPages(
    (pageToken) =>
      call<ListSegmentsResponse>('listing segments', (client) => (m, o, done) => {
        const request = { group: '', pageSize: CONNECTOR_PAGE_SIZE, pageToken };
        return client.listSegments(request, m, o, done);
      }),
    ({ segments }) => segments,
  );
}

function groupFacts({ spec, status }: ConnectorGroup): GroupFacts {
  return {
    context: '',
    namespace: '',
    name: spec?.name ?? '',
    minInstances: spec?.minInstances ?? 0,
    connectors: status?.connectors ?? {},
    certificateEndMs: msOf(status?.oldestCertificateExpiresAt ?? 0n),
    segments: status?.segments ?? 0,
    thinSegments: status?.thinSegments ?? 0,
    activeFlows: Number(status?.activeFlows ?? 0n),
    upToDate: status?.upToDate ?? 0,
    lastError: status?.lastError ?? '',
    refusal: '',
  };
}

function segmentFacts({
  spec,
  servedBy,
  conflicts,
  healthyConnectors,
}: ConnectorSegment): SegmentFacts {
  const others = conflicts.map(({ group, segmentId }) => `${segmentId} in group ${group}`);
  return {
    context: '',
    namespace: '',
    name: spec?.segment?.id ?? '',
    groups: servedBy,
    healthyConnectors,
    conflict: others.join(', '),
    refusal: '',
  };
}

function instanceFacts(one: ConnectorInfo): InstanceFacts {
  const { id, group, state, reason, expiresAt, lastHeardAt } = one;
  return {
    ...{ id, group, state, reason },
    certificateEndMs: msOf(expiresAt),
    heardMs: msOf(lastHeardAt),
  };
}

function msOf(unixSeconds: bigint): number | undefined {
  return unixSeconds === 0n ? undefined : Number(unixSeconds) * 1000;
}
