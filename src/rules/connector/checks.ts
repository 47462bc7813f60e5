import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { clientProblem, fieldLabelsProblem, integerProblem } from './fields.ts';
import { groupNameProblem } from './group-checks.ts';
import { formatHostPattern, parseHostPattern } from './host.ts';
import { type ConnectorSegmentDraft, type PortRange, SEGMENT_CHECKS } from './segment.ts';

/** Most hosts of one segment. */
export const MAX_SEGMENT_HOSTS = 64;

/** Most port ranges of one segment. */
export const MAX_SEGMENT_PORTS = 64;

/** Most clients of one segment. With the longest of each, a segment stays well below one message. */
export const MAX_SEGMENT_CLIENTS = 128;

/** Most groups that one segment names. */
export const MAX_SEGMENT_GROUPS = 64;

/** Most pairs of a host and a range in one segment: what a look at all segments of a group costs. */
export const MAX_SEGMENT_CLAIMS = 256;

const MAX_UINT32 = 0xffff_ffff;
const MAX_CHECK_PATH = 1024;
const MAX_CHECK_INTERVAL_SECONDS = 86_400;
const ID = /^[a-z0-9]([a-z0-9./-]{0,251}[a-z0-9])?$/;

/**
 * Checks everything that can be said about a segment by itself; what is answered may be stored: hosts in
 * their one form, each once. Fails with CONNECTOR_SEGMENT_INVALID, which names the field.
 */
export function checkSegmentDraft(draft: ConnectorSegmentDraft): Result<ConnectorSegmentDraft> {
  if (!ID.test(draft.id)) {
    return invalid('id', 'has to be 1 to 253 lower-case letters, digits, "-", "." and "/"');
  }
  const hosts = checkHosts(draft);
  if (!hosts.ok) return hosts;
  const problem =
    portsProblem(draft) ?? clientsProblem(draft) ?? upstreamProblem(draft) ?? restProblem(draft);
  if (problem !== undefined) return invalid(problem[0], problem[1]);
  return ok({ ...draft, hosts: hosts.value });
}

/** A field and what is wrong with it. */
type Problem = readonly [field: string, problem: string];

function checkHosts(draft: ConnectorSegmentDraft): Result<readonly string[]> {
  const hosts = new Set<string>();
  if (draft.hosts.length === 0 || draft.hosts.length > MAX_SEGMENT_HOSTS) {
    return invalid('hosts', `has ${draft.hosts.length}; 1 to ${MAX_SEGMENT_HOSTS} may be`);
  }
  for (const [at, text] of draft.hosts.entries()) {
    const pattern = parseHostPattern(text);
    if (pattern === undefined) {
      const shown = JSON.stringify(text.slice(0, 80));
      const forms =
        'a name, a wildcard (*.example.org), an address or a CIDR without bits below it';
      return invalid(`hosts[${at}]`, `${shown} is not ${forms}`);
    }
    const host = formatHostPattern(pattern);
    if (hosts.has(host)) return invalid(`hosts[${at}]`, `${host} is there twice`);
    hosts.add(host);
  }
  return ok([...hosts]);
}

function portsProblem({ protocol, hosts, ports }: ConnectorSegmentDraft): Problem | undefined {
  if (protocol !== 'tcp' && protocol !== 'udp') return ['protocol', 'has to be tcp or udp'];
  if (ports.length === 0 || ports.length > MAX_SEGMENT_PORTS) {
    return ['ports', `has ${ports.length} ranges; 1 to ${MAX_SEGMENT_PORTS} may be`];
  }
  if (hosts.length * ports.length > MAX_SEGMENT_CLAIMS) {
    const pairs = `${hosts.length} hosts × ${ports.length} ranges`;
    return ['ports', `${pairs} are over ${MAX_SEGMENT_CLAIMS} pairs; make it several segments`];
  }
  for (const [at, { first, last }] of ports.entries()) {
    if (!isPort(first) || !isPort(last) || first > last) {
      return [`ports[${at}]`, `${first}-${last} is not a range within 1-65535`];
    }
    if (ports.slice(0, at).some((before) => isSameRange(before, { first, last }))) {
      return [`ports[${at}]`, `${first}-${last} is there twice`];
    }
  }
  return undefined;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function isSameRange(a: PortRange, b: PortRange): boolean {
  return a.first === b.first && a.last === b.last;
}

function clientsProblem({ clients }: ConnectorSegmentDraft): Problem | undefined {
  if (clients.length > MAX_SEGMENT_CLIENTS) {
    return ['clients', `has ${clients.length}; at most ${MAX_SEGMENT_CLIENTS} may be`];
  }
  for (const [at, client] of clients.entries()) {
    const problem = clientProblem(client);
    if (problem !== undefined) return [`clients[${at}]`, problem];
  }
  return undefined;
}

function upstreamProblem({ upstreamTls, upstreamId }: ConnectorSegmentDraft): Problem | undefined {
  if (!upstreamTls) {
    return upstreamId === '' ? undefined : ['upstreamId', 'is for upstream TLS, which is off'];
  }
  // Without it any workload of the trust domain could stand in for the target.
  const problem = upstreamId.endsWith('/*') ? 'has to be one SPIFFE ID' : clientProblem(upstreamId);
  return problem === undefined ? undefined : ['upstreamId', problem];
}

function restProblem(draft: ConnectorSegmentDraft): Problem | undefined {
  if (!SEGMENT_CHECKS.includes(draft.healthCheck)) {
    return ['healthCheck', `has to be one of ${SEGMENT_CHECKS.join(', ')}`];
  }
  const { healthCheckPath: path } = draft;
  if (path.length > MAX_CHECK_PATH || !/^[\x21-\x7e]*$/.test(path)) {
    return ['healthCheckPath', `has to be at most ${MAX_CHECK_PATH} visible ASCII characters`];
  }
  if (draft.healthCheck === 'http' && !path.startsWith('/')) {
    return ['healthCheckPath', 'has to start with a slash for an HTTP check'];
  }
  const labels = fieldLabelsProblem(draft.labels);
  if (labels !== undefined) return ['labels', labels];
  if (draft.groups.length > MAX_SEGMENT_GROUPS) {
    return ['groups', `has ${draft.groups.length}; at most ${MAX_SEGMENT_GROUPS} may be`];
  }
  for (const [at, group] of draft.groups.entries()) {
    const problem = groupNameProblem(group);
    if (problem !== undefined) return [`groups[${at}]`, problem];
  }
  return numbersProblem(draft);
}

function numbersProblem(draft: ConnectorSegmentDraft): Problem | undefined {
  const limits = [
    ['healthCheckIntervalSeconds', draft.healthCheckIntervalSeconds, MAX_CHECK_INTERVAL_SECONDS],
    ['priority', draft.priority, MAX_UINT32],
    ['weight', draft.weight, MAX_UINT32],
  ] as const;
  for (const [field, value, most] of limits) {
    const problem = integerProblem(value, most);
    if (problem !== undefined) return [field, problem];
  }
  return undefined;
}

/** Who stated the segment knows which one it is. */
function invalid(field: string, problem: string): Failed {
  return fail('CONNECTOR_SEGMENT_INVALID', `${field} ${problem}`);
}
