import { ok, type Result } from '../base/result.ts';
import type { SegmentSpec } from '../gen/signet/connector/v1/admin.ts';
import {
  HealthCheckKind,
  type PortRange,
  Protocol,
  Segment,
  UpstreamTls,
} from '../gen/signet/connector/v1/connector.ts';
import { SEGMENT_CHECKS, type SegmentCheck } from '../rules/connector/segment.ts';
import {
  countField,
  type FieldSetter,
  flagField,
  invalid,
  isObject,
  isUint32,
  labelsField,
  listField,
  parseThings,
  type Raw,
  secondsField,
  setFields,
  textField,
  textsField,
} from './connector-fields.ts';
import { clearFlag, labelFlags, numberFlag } from './connector-flags.ts';
import { booleanFlag, flagError, wholeSecondsFlag } from './flags.ts';
import type { FlagSpec, Input } from './spec.ts';

const LISTS = ['host', 'port', 'client', 'label', 'group'] as const;

const CHECK_KINDS: Readonly<Record<SegmentCheck, HealthCheckKind>> = {
  none: HealthCheckKind.HEALTH_CHECK_KIND_NONE,
  'on-access': HealthCheckKind.HEALTH_CHECK_KIND_ON_ACCESS,
  tcp: HealthCheckKind.HEALTH_CHECK_KIND_TCP,
  http: HealthCheckKind.HEALTH_CHECK_KIND_HTTP,
  grpc: HealthCheckKind.HEALTH_CHECK_KIND_GRPC,
};

/** Flags that describe a segment. */
export const SEGMENT_FLAGS: readonly FlagSpec[] = [
  {
    name: 'host',
    value: 'host',
    repeat: true,
    help: 'what may be reached: a name, "*.example.org", an address or a CIDR',
  },
  { name: 'protocol', value: 'name', choices: ['tcp', 'udp'], help: 'tcp unless told' },
  { name: 'port', value: 'port', repeat: true, help: 'a port, or a range such as 8000-8010' },
  {
    name: 'client',
    value: 'id',
    repeat: true,
    help: 'SPIFFE ID that may reach it, or "…/*" for all below one; nobody may unless told',
  },
  { name: 'group', value: 'name', repeat: true, help: 'connector group that serves it' },
  {
    name: 'upstream-id',
    value: 'id',
    help: 'SPIFFE ID that the target has to show, by TLS with the connector; none: no such TLS',
  },
  {
    name: 'health-check',
    value: 'kind',
    choices: SEGMENT_CHECKS,
    help: 'how connectors look whether a target is up',
  },
  { name: 'health-check-interval', value: 'duration', help: 'how often they look' },
  {
    name: 'health-check-path',
    value: 'path',
    help: 'path of an HTTP check, service of a gRPC check',
  },
  {
    name: 'draining',
    value: 'true|false',
    choices: ['true', 'false'],
    help: 'whether new flows are refused; those that are open go on',
  },
  {
    name: 'priority',
    value: 'number',
    help: 'of two segments that match alike the higher one counts; 0 unless told',
  },
  { name: 'weight', value: 'number', help: 'share of the flows, among several targets' },
  {
    name: 'label',
    value: 'name=value',
    repeat: true,
    help: 'label, by which groups may select it',
  },
];

/** Empties lists of a segment. */
export const CLEAR_SEGMENT_FLAG = clearFlag(LISTS);

const SETTERS: Readonly<Record<string, FieldSetter<SegmentSpec & { segment: Segment }>>> = {
  id: textField(({ segment }, value) => {
    segment.id = value;
  }),
  hosts: textsField(({ segment }, value) => {
    segment.hosts = value;
  }),
  protocol: ({ segment }, value) => {
    const protocol = typeof value === 'string' ? protocolOf(value) : undefined;
    if (protocol === undefined) return 'must be tcp or udp';
    segment.protocol = protocol;
    return undefined;
  },
  ports: listField(readPorts, 'ports, such as 443 or "8000-8010"', ({ segment }, value) => {
    segment.ports = value;
  }),
  clients: textsField(({ segment }, value) => {
    segment.clients = value;
  }),
  upstreamTls: ({ segment }, value) => {
    const known = value === 'UPSTREAM_TLS_SVID' || value === 'UPSTREAM_TLS_NONE';
    if (!known && typeof value !== 'boolean') return 'must be true or false';
    const on = value === true || value === 'UPSTREAM_TLS_SVID';
    segment.upstreamTls = on ? UpstreamTls.UPSTREAM_TLS_SVID : UpstreamTls.UPSTREAM_TLS_NONE;
    return undefined;
  },
  upstreamId: textField(({ segment }, value) => {
    segment.upstreamId = value;
    if (value !== '') segment.upstreamTls = UpstreamTls.UPSTREAM_TLS_SVID;
  }),
  healthCheck: ({ segment }, value) => {
    const kind = typeof value === 'string' ? checkOf(value) : undefined;
    if (kind === undefined) return `must be one of ${SEGMENT_CHECKS.join(', ')}`;
    segment.healthCheck = kind;
    return undefined;
  },
  healthCheckIntervalSeconds: secondsField(({ segment }, value) => {
    segment.healthCheckIntervalSeconds = value;
  }),
  healthCheckPath: textField(({ segment }, value) => {
    segment.healthCheckPath = value;
  }),
  draining: flagField(({ segment }, value) => {
    segment.draining = value;
  }),
  priority: countField(({ segment }, value) => {
    segment.priority = value;
  }),
  weight: countField(({ segment }, value) => {
    segment.weight = value;
  }),
  labels: labelsField(({ segment }, value) => {
    segment.labels = value;
  }),
  groups: textsField((spec, value) => {
    spec.groups = value;
  }),
};

/**
 * Reads segments from a file: `{"segments": [...]}` or one by itself, in JSON or YAML; also as `-o json`
 * prints them. Fails with CLI_DATA_INVALID.
 */
export function parseSegments(bytes: Uint8Array): Result<readonly SegmentSpec[]> {
  const things = parseThings(bytes, 'segments');
  if (!things.ok) return things;
  const segments: SegmentSpec[] = [];
  for (const [i, thing] of things.value.entries()) {
    const spec = setFields(newSegment(''), flattened(thing), SETTERS);
    if (!spec.ok) return invalid(`segments[${i}]: ${spec.error.message}`);
    segments.push(spec.value);
  }
  return ok(segments);
}

/** A segment of this ID, as it is where nothing is said of it. */
export function newSegment(id: string): SegmentSpec & { segment: Segment } {
  const segment = { ...Segment.fromJSON({}), id, protocol: Protocol.PROTOCOL_TCP };
  return { segment, groups: [] };
}

/** A segment whose lists that these flags give are empty. Fails with CLI_USAGE. */
export function clearedSegment(before: SegmentSpec, flags: readonly string[]): Result<SegmentSpec> {
  const segment: Segment = { ...(before.segment ?? newSegment('').segment) };
  const spec = { segment, groups: before.groups };
  for (const name of flags) {
    if (name === 'host') segment.hosts = [];
    else if (name === 'port') segment.ports = [];
    else if (name === 'client') segment.clients = [];
    else if (name === 'label') segment.labels = {};
    else if (name === 'group') spec.groups = [];
    else return flagError('clear', `there is no such list; ${LISTS.join(', ')}`);
  }
  return ok(spec);
}

/** A segment with what the flags say put in place of what it has. Fails with CLI_USAGE. */
export function segmentFromFlags(before: SegmentSpec, input: Input): Result<SegmentSpec> {
  const segment: Segment = { ...(before.segment ?? newSegment('').segment) };
  const spec = { segment, groups: before.groups };
  const lists = setLists(spec, input);
  if (!lists.ok) return lists;
  const protocol = protocolOf(input.text('protocol') ?? '');
  segment.protocol = protocol ?? segment.protocol;
  segment.healthCheck = checkOf(input.text('health-check') ?? '') ?? segment.healthCheck;
  segment.healthCheckPath = input.text('health-check-path') ?? segment.healthCheckPath;
  segment.draining = booleanFlag(input, 'draining') ?? segment.draining;
  const upstream = input.text('upstream-id');
  if (upstream !== undefined) {
    const off = upstream === 'none';
    segment.upstreamId = off ? '' : upstream;
    segment.upstreamTls = off ? UpstreamTls.UPSTREAM_TLS_NONE : UpstreamTls.UPSTREAM_TLS_SVID;
  }
  const interval = wholeSecondsFlag(input, 'health-check-interval');
  if (!interval.ok) return interval;
  segment.healthCheckIntervalSeconds = interval.value ?? segment.healthCheckIntervalSeconds;
  for (const name of ['priority', 'weight'] as const) {
    const number = numberFlag(input, name);
    if (!number.ok) return number;
    segment[name] = number.value ?? segment[name];
  }
  return ok(spec);
}

function setLists(spec: SegmentSpec & { segment: Segment }, input: Input): Result<void> {
  const { segment } = spec;
  const hosts = input.texts('host');
  if (hosts.length > 0) segment.hosts = [...hosts];
  const clients = input.texts('client');
  if (clients.length > 0) segment.clients = [...clients];
  const groups = input.texts('group');
  if (groups.length > 0) spec.groups = [...groups];
  const labels = labelFlags(input, 'label');
  if (!labels.ok) return labels;
  segment.labels = labels.value ?? segment.labels;
  const ports = input.texts('port').map(readPorts);
  if (ports.includes(undefined)) return flagError('port', 'such as 443 or 8000-8010');
  if (ports.length > 0) segment.ports = ports.filter((range) => range !== undefined);
  return ok(undefined);
}

/** What was printed has the segment in "spec.segment", its groups beside. */
function flattened(thing: Raw): Raw {
  const spec = isObject(thing) && isObject(thing.spec) ? thing.spec : thing;
  if (!isObject(spec) || !isObject(spec.segment)) return spec;
  return { ...spec.segment, ...(spec.groups === undefined ? {} : { groups: spec.groups }) };
}

function readPorts(item: Raw): PortRange | undefined {
  if (isUint32(item)) return { first: item, last: item };
  if (isObject(item)) {
    const { first, last, ...rest } = item;
    if (Object.keys(rest).length > 0) return undefined;
    return isUint32(first) && isUint32(last) ? { first, last } : undefined;
  }
  const found = typeof item === 'string' ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(item) : null;
  if (found === null) return undefined;
  const first = Number(found[1]);
  return { first, last: found[2] === undefined ? first : Number(found[2]) };
}

function protocolOf(text: string): Protocol | undefined {
  const name = text.replace(/^PROTOCOL_/, '').toLowerCase();
  if (name === 'tcp') return Protocol.PROTOCOL_TCP;
  return name === 'udp' ? Protocol.PROTOCOL_UDP : undefined;
}

function checkOf(text: string): HealthCheckKind | undefined {
  const name = text
    .replace(/^HEALTH_CHECK_KIND_/, '')
    .toLowerCase()
    .replaceAll('_', '-');
  const check = SEGMENT_CHECKS.find((one) => one === name);
  return check === undefined ? undefined : CHECK_KINDS[check];
}
