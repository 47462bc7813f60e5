import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { type AssuranceBinding, isAtLeast } from './assurance.ts';
import type { DpuRecord } from './dpu.ts';
import type { AgentRecord } from './entry.ts';

/** What is demanded of the node of everything below a path; all rules that fit have to be met. */
export interface ZoneRule {
  /** Path of a SPIFFE ID; it fits this path and what lies below it. `/` fits all. */
  readonly path: string;
  /** Zones that the node may be in; undefined asks for none. */
  readonly zones?: readonly number[] | undefined;
  /** The weakest binding that will do; undefined asks for none. */
  readonly assurance?: AssuranceBinding | undefined;
  /** Node attestors that will do; undefined asks for none. */
  readonly methods?: readonly string[] | undefined;
  /** Whether operators may mint such identities by hand, which no node vouches for. */
  readonly mint: boolean;
}

/** The zone of nodes that have no DPU in the inventory, by the path of their agent's ID. */
export interface NodeZone {
  readonly path: string;
  readonly zone: number;
}

/** The zone policy of a server. */
export interface ZonePolicy {
  readonly rules: readonly ZoneRule[];
  readonly nodes: readonly NodeZone[];
}

/** No demands. */
export const NO_ZONES: ZonePolicy = Object.freeze({ rules: [], nodes: [] });

/** A node as rules judge it. */
export interface NodeStanding {
  readonly method: string;
  /** Undefined where the attestation was before there was a record of it. */
  readonly binding: AssuranceBinding | undefined;
  readonly zone: number | undefined;
  readonly release: string | undefined;
}

/**
 * How a node stands now: its zone as the inventory has it today, its binding as it attested. A DPU that
 * is degraded is worth no more than a key, until it is trusted again.
 */
export function standingOf(
  agent: Pick<AgentRecord, 'id' | 'attestationType' | 'assurance'>,
  dpu: Pick<DpuRecord, 'zone' | 'state'> | undefined,
  { nodes }: ZonePolicy,
): NodeStanding {
  const { assurance, attestationType: method, id } = agent;
  const stated = nodes.find(({ path }) => isBelow(id.path, path))?.zone;
  const zone = dpu === undefined ? (stated ?? assurance?.zone) : dpu.zone;
  const degraded = dpu?.state === 'degraded' && isAtLeast(assurance?.binding, 'key');
  const binding = degraded ? 'key' : assurance?.binding;
  return { method, binding, zone, release: assurance?.release };
}

/** The rules that fit a SPIFFE ID. */
export function rulesFor(id: SpiffeId, { rules }: ZonePolicy): readonly ZoneRule[] {
  return rules.filter(({ path }) => isBelow(id.path, path));
}

/** What a node lacks of a rule, in words; undefined where it meets it. What is not known is not met. */
export function unmet(rule: ZoneRule, node: NodeStanding): string | undefined {
  const { path, zones, assurance, methods } = rule;
  if (zones !== undefined && (node.zone === undefined || !zones.includes(node.zone))) {
    const has = node.zone === undefined ? 'no zone' : `zone ${node.zone}`;
    return `${path} is for nodes in zone ${zones.join(', ')}; the node has ${has}`;
  }
  if (assurance !== undefined && !isAtLeast(node.binding, assurance)) {
    return `${path} needs the assurance "${assurance}"; the node has "${node.binding ?? 'none'}"`;
  }
  if (methods !== undefined && !methods.includes(node.method)) {
    return `${path} is for nodes attested by ${methods.join(', ')}; the node was by ${node.method}`;
  }
  return undefined;
}

/** The first demand on a SPIFFE ID that a node does not meet, in words. */
export function unmetDemand(
  id: SpiffeId,
  node: NodeStanding,
  policy: ZonePolicy,
): string | undefined {
  for (const rule of rulesFor(id, policy)) {
    const lacking = unmet(rule, node);
    if (lacking !== undefined) return lacking;
  }
  return undefined;
}

/** One line for the ledger: how the node stood when something was issued through it. */
export function formatStanding({ method, binding, zone, release }: NodeStanding): string {
  const parts = [
    `method=${method}`,
    ...(binding === undefined ? [] : [`binding=${binding}`]),
    ...(zone === undefined ? [] : [`zone=${zone}`]),
    ...(release === undefined || release === '' ? [] : [`release=${release}`]),
  ];
  return parts.join(' ');
}

/** On whole segments: `/db` does not fit `/dbadmin`. */
function isBelow(path: string, prefix: string): boolean {
  return prefix === '/' || path === prefix || path.startsWith(`${prefix}/`);
}
