import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { type SpiffeId, spiffeIdFromPath } from '../../src/spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../src/spiffe/trust-domain.ts';

/** Longest hint in bytes (Workload API §8). */
const MAX_HINT_BYTES = 1024;

/** A registration entry as this agent uses it: who has which identity. */
export interface AgentEntry {
  readonly id: string;
  readonly revision: bigint;
  /** Unix seconds. */
  readonly createdAtSeconds: bigint;
  readonly spiffeId: SpiffeId;
  /** `type:value`; at least one. */
  readonly selectors: readonly string[];
  /** Never the own trust domain (WLAPI-37). */
  readonly federatesWith: readonly TrustDomain[];
  readonly hint: string;
  /** Whether its X.509-SVID is minted before anybody asks. */
  readonly prefetch: boolean;
  /** Whether it is for storage elsewhere, and not served to workloads. */
  readonly storeSvid: boolean;
}

/**
 * Reads an entry that the server sent. The server checked it at registration; what would make the
 * agent send workloads a message that they must refuse is checked again. Fails with
 * AGENT_SERVER_ANSWER.
 */
export function readEntry(wire: Entry, trustDomain: TrustDomain): Result<AgentEntry> {
  const { id } = wire;
  if (id === '') return fail('AGENT_SERVER_ANSWER', 'an entry came without an id');
  if (wire.spiffeId === undefined || wire.spiffeId.trustDomain !== trustDomain.name) {
    return fail('AGENT_SERVER_ANSWER', `entry ${id} is not of trust domain ${trustDomain.name}`);
  }
  const spiffeId = spiffeIdFromPath(trustDomain, wire.spiffeId.path);
  if (!spiffeId.ok) {
    return fail('AGENT_SERVER_ANSWER', `entry ${id}: ${spiffeId.error.message}`);
  }
  if (spiffeId.value.path === '') {
    return fail('AGENT_SERVER_ANSWER', `entry ${id} names the trust domain and no workload`);
  }
  // No selectors would be a subset of any process's.
  if (wire.selectors.length === 0) {
    return fail('AGENT_SERVER_ANSWER', `entry ${id} has no selectors`);
  }
  if (Buffer.byteLength(wire.hint) > MAX_HINT_BYTES) {
    return fail('AGENT_SERVER_ANSWER', `entry ${id} has a hint of more than 1024 bytes`);
  }
  const federatesWith = readFederation(wire, trustDomain);
  if (!federatesWith.ok) return federatesWith;
  return ok({
    id,
    revision: wire.revisionNumber,
    createdAtSeconds: wire.createdAt,
    spiffeId: spiffeId.value,
    selectors: wire.selectors.map(({ type, value }) => `${type}:${value}`),
    federatesWith: federatesWith.value,
    hint: wire.hint,
    prefetch: wire.additionalAttributes?.disableX509SvidPrefetch !== true,
    storeSvid: wire.storeSvid,
  });
}

function readFederation(wire: Entry, own: TrustDomain): Result<readonly TrustDomain[]> {
  const domains: TrustDomain[] = [];
  for (const text of wire.federatesWith) {
    const domain = parseTrustDomain(text);
    if (!domain.ok) {
      return fail('AGENT_SERVER_ANSWER', `entry ${wire.id}: ${domain.error.message}`);
    }
    if (domain.value.name !== own.name) domains.push(domain.value);
  }
  return ok(domains);
}

/** The order in which identities are served: the oldest first, then by id; stable (WLAPI-14). */
export function compareEntries(a: AgentEntry, b: AgentEntry): number {
  if (a.createdAtSeconds !== b.createdAtSeconds) {
    return a.createdAtSeconds < b.createdAtSeconds ? -1 : 1;
  }
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/**
 * Of entries in serving order, those that are served: of several with the same non-empty hint the
 * first only (WLAPI-12). Entries without a hint are all served.
 */
export function withUniqueHints(entries: readonly AgentEntry[]): readonly AgentEntry[] {
  const hints = new Set<string>();
  return entries.filter(({ hint }) => {
    if (hint === '') return true;
    if (hints.has(hint)) return false;
    hints.add(hint);
    return true;
  });
}
