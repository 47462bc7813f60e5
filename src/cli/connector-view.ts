import type {
  BoundKey,
  ConnectorGroup,
  ConnectorInfo,
  ConnectorSegment,
  ProvisioningKey,
} from '../gen/signet/connector/v1/admin.ts';
import {
  type PortRange,
  Protocol,
  ResourceType,
  type Segment,
  TargetHealth,
  UpstreamTls,
} from '../gen/signet/connector/v1/connector.ts';
import { SEGMENT_CHECKS } from '../rules/connector/segment.ts';
import type { CliIo } from './spec.ts';
import { COLUMNS, cut, formatBlock, formatTime, safe, span } from './text.ts';

type Clocked = Pick<CliIo, 'clock'>;

/**
 * A table whose lines fit {@link COLUMNS}: its widest columns give way, the last one too. What is cut
 * stands whole in `-o json` and `show`.
 */
export function formatFitted(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cells = [heads, ...rows.map((row) => row.map(safe))];
  const widths = heads.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  const room = COLUMNS - 2 * (heads.length - 1);
  while (widths.reduce((sum, width) => sum + width, 0) > room) {
    const widest = widths.indexOf(Math.max(...widths));
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  const lines = cells.map((row) => {
    const fitted = row.map((cell, i) => cut(cell, widths[i] ?? 0).padEnd(widths[i] ?? 0));
    return fitted.join('  ').trimEnd();
  });
  return `${lines.join('\n')}\n`;
}

/** Connectors, a line each. */
export function formatConnectors(connectors: readonly ConnectorInfo[], io: Clocked): string {
  const rows = connectors.map((one) => [
    one.id,
    one.group,
    one.state,
    ago(one.lastHeardAt, io),
    left(one.expiresAt, io),
    `${one.activeFlows}`,
    one.reason,
  ]);
  return formatFitted(['CONNECTOR', 'GROUP', 'STATE', 'HEARD', 'CERT', 'FLOWS', 'REASON'], rows);
}

/** All of one connector, a line a field. */
export function formatConnector(one: ConnectorInfo, io: Clocked): string {
  const { instance } = one;
  const at = (seconds: bigint): string => formatTime(Number(seconds), io.clock.nowMs());
  const session = one.remoteAddress !== '';
  return formatBlock([
    ['Connector', one.id],
    ['Group', one.group],
    ['SPIFFE ID', one.spiffeId],
    ['State', one.state],
    ['Reason', some(one.reason)],
    ['Drains until', one.drainDeadlineMs === 0n ? [] : at(one.drainDeadlineMs / 1000n)],
    ['Version', some(instance?.version)],
    ['Host', some([instance?.hostname, instance?.os, instance?.arch].filter(Boolean).join(' '))],
    ['Pod', some(instance?.podName)],
    ['Node', some(instance?.nodeName)],
    ['Proof', some(one.proof)],
    ['Claimant', some(one.claimant)],
    ['Agent', some(one.agentId)],
    ['Enrolled', at(one.enrolledAt)],
    ['Serial', some(one.serialNumber)],
    ['Certificate ends', one.expiresAt === 0n ? 'not signed yet' : at(one.expiresAt)],
    ['Last heard', at(one.lastHeardAt)],
    ['Address', some(one.remoteAddress)],
    ['Clock', session ? `${offset(one.clockOffsetMs)}` : []],
    ['Flows', session ? `${one.activeFlows}` : []],
    ['Load', session ? `${one.loadPercent} %` : []],
    ['Segments', session ? segmentsVersion(one) : []],
    ['Could not apply', some(one.lastNack)],
    ['Targets', one.segmentHealth.map(formatHealth)],
  ]);
}

/** Groups, a line each. */
export function formatGroups(groups: readonly ConnectorGroup[], io: Clocked): string {
  const rows = groups.map(({ spec, status }) => [
    spec?.name ?? '',
    `${status?.connectors.active ?? 0}/${living(status?.connectors ?? {})}`,
    `${spec?.minInstances ?? 0}-${spec?.maxInstances || ''}`,
    `${status?.segments ?? 0}`,
    `${status?.thinSegments ?? 0}`,
    `${status?.activeFlows ?? 0n}`,
    left(status?.oldestCertificateExpiresAt ?? 0n, io),
    status?.lastError ?? '',
  ]);
  const heads = ['GROUP', 'ACTIVE', 'LIMITS', 'SEGMENTS', 'THIN', 'FLOWS', 'CERT', 'LAST ERROR'];
  return formatFitted(heads, rows);
}

/** All of one group, a line a field. */
export function formatGroup(group: ConnectorGroup, io: Clocked): string {
  const { spec, status } = group;
  if (spec === undefined) return '';
  const oldest = Number(status?.oldestCertificateExpiresAt ?? 0n);
  return formatBlock([
    ['Group', spec.name],
    ['Follows', some(group.origin)],
    ['Instances', `${spec.minInstances} to ${spec.maxInstances || 'any number'}`],
    ['Proofs', orNone(spec.proofs, 'none: nobody can enrol')],
    ['Service accounts', spec.serviceAccounts.map(accountText)],
    ['SPIFFE IDs', spec.spiffeIds],
    ['Attested node', spec.requireAttestedNode ? 'required' : []],
    ['Zones', spec.zones.map(String).join(', ') || []],
    ['Assurance', some(spec.assurance)],
    ['SVID life', seconds(spec.svidTtlSeconds, "the server's")],
    ['Offline', seconds(spec.offlineSeconds, 'until the certificate ends')],
    ['Forgotten after', seconds(spec.forgetAfterSeconds, '1h for those of pods, else 7d')],
    ['Selects', pairs(spec.segmentSelector)],
    ['Segments by', spec.segmentNamespaces],
    ['naming', spec.segmentHosts],
    ['Update window', some(spec.updateWindow)],
    ['Max unavailable', spec.maxUnavailable === 0 ? [] : `${spec.maxUnavailable}`],
    ['Connectors', orNone(states(status?.connectors ?? {}), 'none yet')],
    ['Active flows', `${status?.activeFlows ?? 0n}`],
    ['Oldest cert ends', oldest === 0 ? [] : formatTime(oldest, io.clock.nowMs())],
    ['Segments', `${status?.segments ?? 0}, ${status?.thinSegments ?? 0} thin`],
    ['Up to date', `${status?.upToDate ?? 0}`],
    ['Last error', some(status?.lastError)],
    ['Revision', `${group.revision}`],
  ]);
}

/** Segments, a line each. */
export function formatSegments(segments: readonly ConnectorSegment[]): string {
  const rows = segments.map((one) => {
    const segment = one.spec?.segment;
    return [
      segment?.id ?? '',
      first(segment?.hosts ?? []),
      segment === undefined ? '' : portsText(segment),
      first(one.servedBy),
      `${one.healthyConnectors}`,
      stateOfSegment(one),
    ];
  });
  return formatFitted(['SEGMENT', 'HOSTS', 'PORTS', 'SERVED BY', 'HEALTHY', 'STATE'], rows);
}

/** All of one segment, a line a field. */
export function formatSegment(one: ConnectorSegment): string {
  const segment = one.spec?.segment;
  if (segment === undefined) return '';
  const check = SEGMENT_CHECKS[segment.healthCheck] ?? 'none';
  const every = segment.healthCheckIntervalSeconds;
  const path = segment.healthCheckPath;
  return formatBlock([
    ['Segment', segment.id],
    ['Follows', some(one.origin)],
    ['State', stateOfSegment(one)],
    ['Hosts', segment.hosts],
    ['Ports', portsText(segment)],
    ['Clients', orNone(segment.clients, 'none: nobody may')],
    ['Named groups', one.spec?.groups ?? []],
    ['Served by', orNone(one.servedBy, 'no group')],
    ['Upstream', upstreamText(segment)],
    [
      'Health check',
      [check, ...(every > 0 ? [`every ${span(every)}`] : []), path].join(' ').trim(),
    ],
    ['Healthy', `${one.healthyConnectors} connectors`],
    ['Priority', `${segment.priority}`],
    ['Weight', segment.weight === 0 ? [] : `${segment.weight}`],
    ['Labels', pairs(segment.labels)],
    ['Gives way', one.conflicts.map((c) => `in group ${c.group} to ${c.segmentId}: ${c.detail}`)],
    ['Revision', `${one.revision}`],
  ]);
}

/** Provisioning keys, a line each. */
export function formatKeys(keys: readonly ProvisioningKey[], io: Clocked): string {
  const rows = keys.map((key) => [
    key.id,
    key.group,
    `${key.uses}/${key.maxUses}`,
    left(key.expiresAt, io),
    key.cidrs.length === 0 ? 'anywhere' : first(key.cidrs),
    key.description,
  ]);
  return formatFitted(['KEY', 'GROUP', 'USED', 'ENDS IN', 'FROM', 'DESCRIPTION'], rows);
}

/** Bound keys, a line each. */
export function formatBoundKeys(keys: readonly BoundKey[]): string {
  const rows = keys.map((key) => [
    key.id.slice(0, 16),
    key.group,
    key.connectorId,
    // The first enrolment is none.
    `${key.recoveryCount === 0n ? 0n : key.recoveryCount - 1n}/${key.maxRecoveries}`,
    key.description,
  ]);
  return formatFitted(['KEY', 'GROUP', 'CONNECTOR', 'RECOVERIES', 'DESCRIPTION'], rows);
}

/** `443/tcp, 8000-8010/tcp`. */
function portsText({ ports, protocol }: Segment): string {
  const name = protocol === Protocol.PROTOCOL_UDP ? 'udp' : 'tcp';
  return ports.map((range) => `${rangeText(range)}/${name}`).join(', ');
}

function rangeText(range: PortRange): string {
  return range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`;
}

function stateOfSegment(one: ConnectorSegment): string {
  if (one.servedBy.length === 0 && one.conflicts.length === 0) return 'no group';
  if (one.conflicts.length > 0) return 'conflict';
  if (one.spec?.segment?.draining === true) return 'draining';
  return one.healthyConnectors < 2 ? 'thin' : 'ok';
}

function upstreamText({ upstreamTls, upstreamId }: Segment): string {
  return upstreamTls === UpstreamTls.UPSTREAM_TLS_SVID ? `TLS to ${upstreamId}` : 'as it is';
}

function formatHealth(one: ConnectorInfo['segmentHealth'][number]): string {
  const up = one.health === TargetHealth.TARGET_HEALTH_UP;
  const how = up ? `up, ${one.latencyMs} ms` : `down${one.error === '' ? '' : `: ${one.error}`}`;
  return `${one.segmentId} ${one.target} ${how}`;
}

function segmentsVersion({ versions, wantedSegmentsVersion: wanted }: ConnectorInfo): string {
  const has = versions.find(({ type }) => type === ResourceType.RESOURCE_TYPE_SEGMENTS)?.version;
  if (has === undefined) return 'none accepted yet';
  return has === wanted || wanted === '' ? has : `${has}, to be ${wanted}`;
}

/** Connectors by state, those that there are. */
function states(counts: Readonly<Record<string, number>>): string[] {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.map(([state, count]) => `${count} ${state}`);
}

function living(counts: Readonly<Record<string, number>>): number {
  const { stopped = 0, expired = 0, revoked = 0 } = counts;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return all - stopped - expired - revoked;
}

function accountText(account: { cluster: string; namespace: string; name: string }): string {
  return [account.cluster, account.namespace, account.name].filter(Boolean).join('/');
}

function offset(ms: bigint): string {
  if (ms === 0n) return 'as ours';
  const away = ms < 0n ? -ms : ms;
  return `${away} ms ${ms > 0n ? 'ahead' : 'behind'}`;
}

function pairs(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`);
}

function seconds(value: number, otherwise: string): string {
  return value === 0 ? otherwise : span(value);
}

function first(values: readonly string[]): string {
  const more = values.length - 1;
  return more > 0 ? `${values[0]} +${more}` : (values[0] ?? '');
}

function some(text: string | undefined): string | readonly string[] {
  return text === undefined || text === '' ? [] : text;
}

function orNone(values: readonly string[], otherwise: string): string | readonly string[] {
  return values.length === 0 ? otherwise : values;
}

/** How long ago a moment was, in its largest unit. */
function ago(unixSeconds: bigint, { clock }: Clocked): string {
  if (unixSeconds === 0n) return 'never';
  return largest(Math.max(0, Math.round(clock.nowMs() / 1000 - Number(unixSeconds))));
}

/** How long it is until a moment, in its largest unit. */
function left(unixSeconds: bigint, { clock }: Clocked): string {
  if (unixSeconds === 0n) return '';
  const away = Math.round(Number(unixSeconds) - clock.nowMs() / 1000);
  return away > 0 ? largest(away) : 'ended';
}

function largest(length: number): string {
  return span(length).split(' ')[0] ?? '';
}
