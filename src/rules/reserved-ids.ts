import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';

const RESERVED_PREFIX = '/spire/';
const SERVER_PATH = '/spire/server';
const CONNECTOR_PREFIX = '/connector/';
const AGENT_PREFIX = '/spire/agent/';
const DPU_PREFIX = '/spire/agent/dpu/';
const DPU_HOST_PREFIX = '/spire/agent/dpu_host/';

/** Whether the ID lies in the `/spire` area, which belongs to servers and agents. */
export function isReservedId(id: SpiffeId): boolean {
  return id.path === '/spire' || id.path.startsWith(RESERVED_PREFIX);
}

/** Whether the ID lies in the `/connector` area, which belongs to connectors where they are served. */
export function isConnectorId(id: SpiffeId): boolean {
  return id.path === '/connector' || id.path.startsWith(CONNECTOR_PREFIX);
}

/** Path of a connector's SPIFFE ID. */
export function connectorPath(group: string, connectorId: string): string {
  return `${CONNECTOR_PREFIX}${group}/${connectorId}`;
}

/** Whether the ID is an agent's: below `/spire/agent/`. */
export function isAgentId(id: SpiffeId): boolean {
  return id.path.startsWith(AGENT_PREFIX);
}

/** Path of the agent of a DPU, by the SHA-256 of its device key (hex). */
export function dpuAgentPath(deviceId: string): string {
  return DPU_PREFIX + deviceId;
}

/** Path of the agent of a host that its DPU vouched for, by the DPU's device key (hex) and the host's UUID. */
export function dpuHostAgentPath(deviceId: string, hostUuid: string): string {
  return `${DPU_HOST_PREFIX}${deviceId}/${hostUuid}`;
}

/** Whether an agent is that of a DPU itself. */
export function isDpuAgentId(id: SpiffeId): boolean {
  return id.path.startsWith(DPU_PREFIX);
}

/** The device key of the DPU that an agent's ID names: of its own, or of the one that vouched for it. */
export function deviceIdOfAgent({ path }: SpiffeId): string | undefined {
  for (const prefix of [DPU_PREFIX, DPU_HOST_PREFIX]) {
    if (path.startsWith(prefix)) return path.slice(prefix.length).split('/', 1)[0];
  }
  return undefined;
}

/** Canonical text of the servers' ID, the parent of alias entries. */
export function serverUri(trustDomain: TrustDomain): string {
  return trustDomain.id + SERVER_PATH;
}
