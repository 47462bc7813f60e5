import { type FlowHost, hostRank, parseFlowHost, parseHostPattern } from './host.ts';
import type { ConnectorSegmentDraft, SegmentProtocol } from './segment.ts';

/** What of a segment decides about flows. */
export type MatchableSegment = Pick<
  ConnectorSegmentDraft,
  'id' | 'hosts' | 'protocol' | 'ports' | 'priority'
>;

/** The same with who may, and whether anybody may still begin. */
export type DecidingSegment = MatchableSegment &
  Pick<ConnectorSegmentDraft, 'clients' | 'draining'>;

/** A flow that somebody wants to open. */
export interface Flow {
  /** Name or address; case and a trailing dot do not matter. */
  readonly host: string;
  readonly port: number;
  readonly protocol: SegmentProtocol;
}

/** How a segment fits a flow. */
export interface SegmentFit<S extends MatchableSegment> {
  readonly segment: S;
  /** Of its hosts, the closest. */
  readonly hostRank: number;
  /** Ports in its narrowest range that holds the flow's. */
  readonly portCount: number;
}

/** Why a flow is allowed or not. */
export type FlowReason = 'allowed' | 'no-segment' | 'draining' | 'client-not-allowed';

/** What is decided about a flow. */
export interface FlowDecision<S extends MatchableSegment> {
  readonly allowed: boolean;
  readonly reason: FlowReason;
  /** The segment that decides; undefined where none fits. */
  readonly segment: S | undefined;
  /** Those that fit too and give way, the closest first. */
  readonly shadowed: readonly S[];
}

/**
 * Decides a flow. Deny by default. Among segments that have its protocol and port and fit its host the
 * first by these counts, and no other is asked after it: the closest host (exact name or address, then
 * the longer CIDR or wildcard), the higher priority, the narrower port range. A segment that drains
 * still counts, and refuses: its flows must not fall to a wider one.
 *
 * @param client SPIFFE ID of who asks; undefined does not ask who.
 */
export function decideFlow<S extends DecidingSegment>(
  segments: Iterable<S>,
  flow: Flow,
  client: string | undefined,
): FlowDecision<S> {
  const [first, ...others] = matchFlow(segments, flow);
  if (first === undefined) {
    return { allowed: false, reason: 'no-segment', segment: undefined, shadowed: [] };
  }
  const { segment } = first;
  const shadowed = others.map((fit) => fit.segment);
  const reason = reasonOf(segment, client);
  return { allowed: reason === 'allowed', reason, segment, shadowed };
}

/** All segments that fit a flow, the one that counts first; equal ones in the order of their IDs. */
export function matchFlow<S extends MatchableSegment>(
  segments: Iterable<S>,
  flow: Flow,
): readonly SegmentFit<S>[] {
  const host = parseFlowHost(flow.host);
  if (host === undefined) return [];
  const fits: SegmentFit<S>[] = [];
  for (const segment of segments) {
    const fit = fitOf(segment, host, flow);
    if (fit !== undefined) fits.push(fit);
  }
  return fits.sort((a, b) => compareFits(a, b) || (a.segment.id < b.segment.id ? -1 : 1));
}

/** Less than 0 where the first counts before the second; 0 is a conflict. */
export function compareFits(
  a: SegmentFit<MatchableSegment>,
  b: SegmentFit<MatchableSegment>,
): number {
  if (a.hostRank !== b.hostRank) return b.hostRank - a.hostRank;
  if (a.segment.priority !== b.segment.priority) return b.segment.priority - a.segment.priority;
  return a.portCount - b.portCount;
}

/**
 * Whether one of a segment's clients is this SPIFFE ID, or all below one (`…/*`) that it lies below, on
 * whole segments of its path. No client is nobody.
 */
export function isClientOf(clients: readonly string[], id: string): boolean {
  return clients.some((client) => {
    if (!client.endsWith('/*')) return client === id;
    const above = client.slice(0, -1);
    return id.length > above.length && id.startsWith(above);
  });
}

function reasonOf(segment: DecidingSegment, client: string | undefined): FlowReason {
  if (client !== undefined && !isClientOf(segment.clients, client)) return 'client-not-allowed';
  return segment.draining ? 'draining' : 'allowed';
}

function fitOf<S extends MatchableSegment>(
  segment: S,
  host: FlowHost,
  { port, protocol }: Flow,
): SegmentFit<S> | undefined {
  if (segment.protocol !== protocol) return undefined;
  const counts = segment.ports
    .filter(({ first, last }) => first <= port && port <= last)
    .map(({ first, last }) => last - first + 1);
  if (counts.length === 0) return undefined;
  let best: number | undefined;
  for (const text of segment.hosts) {
    const pattern = parseHostPattern(text);
    const rank = pattern === undefined ? undefined : hostRank(pattern, host);
    if (rank !== undefined && (best === undefined || rank > best)) best = rank;
  }
  if (best === undefined) return undefined;
  return { segment, hostRank: best, portCount: Math.min(...counts) };
}
