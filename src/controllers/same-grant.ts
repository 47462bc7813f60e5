import type { X509Grant } from '../policy/grant.ts';

/** Whether what was signed by one grant may be given out by another: who it is for has not changed. */
export function isSameGrant(a: X509Grant, b: X509Grant): boolean {
  return (
    a.spiffeId.uri === b.spiffeId.uri &&
    a.entry?.id === b.entry?.id &&
    a.entry?.revision === b.entry?.revision &&
    a.agentId?.uri === b.agentId?.uri &&
    a.agentAttestedAtSeconds === b.agentAttestedAtSeconds &&
    a.ttlSeconds === b.ttlSeconds &&
    a.dnsNames.join() === b.dnsNames.join()
  );
}
