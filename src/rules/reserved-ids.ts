import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';

const RESERVED_PREFIX = '/spire/';
const SERVER_PATH = '/spire/server';
const AGENT_PREFIX = '/spire/agent/';

/** Whether the ID lies in the `/spire` area, which belongs to servers and agents. */
export function isReservedId(id: SpiffeId): boolean {
  return id.path === '/spire' || id.path.startsWith(RESERVED_PREFIX);
}

/** Whether the ID is an agent's: below `/spire/agent/`. */
export function isAgentId(id: SpiffeId): boolean {
  return id.path.startsWith(AGENT_PREFIX);
}

/** Canonical text of the servers' ID, the parent of alias entries. */
export function serverUri(trustDomain: TrustDomain): string {
  return trustDomain.id + SERVER_PATH;
}
