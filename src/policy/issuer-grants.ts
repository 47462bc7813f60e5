import { fail, type Result } from '../base/result.ts';
import { checkDnsNames } from '../rules/dns-name.ts';
import { MAX_TTL_SECONDS } from '../rules/entry-draft.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { PolicyContext } from './context.ts';
import type { X509Grant } from './grant.ts';
import { isWorkloadId, NO_ORIGIN, requireFresh } from './grants.ts';
import { seal } from './seal.ts';
import { requireUnvouched } from './zones.ts';

/** What an issuer of Kubernetes gives to who is no pod. */
export interface IssuerGrantRequest {
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  /** 0 takes the default. */
  readonly ttlSeconds: number;
  /** Most seconds between the two dates; no such bound unless given. */
  readonly maxLifeSeconds?: number | undefined;
  /** Who asks, such as `certificate-request:<cluster>/<namespace>:<issuer>`. */
  readonly requestedBy: string;
}

/**
 * An X.509-SVID by the word of an issuer object alone. No node vouches for it, so nothing that zones
 * demand anything of is given. Fails with REGISTRY_STALE, GRANT_SPIFFE_ID, TTL_RANGE, DNS_*, ZONE_NOT_MET.
 */
export function grantIssuerX509(
  asked: IssuerGrantRequest,
  context: PolicyContext,
): Result<X509Grant> {
  const fresh = requireFresh(context);
  if (!fresh.ok) return fresh;
  const { spiffeId, ttlSeconds, maxLifeSeconds, requestedBy } = asked;
  if (!isWorkloadId(spiffeId, context)) {
    return fail('GRANT_SPIFFE_ID', `${spiffeId.uri} is none that a workload may have`);
  }
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0 || ttlSeconds > MAX_TTL_SECONDS) {
    return fail('TTL_RANGE', `lifetime of ${ttlSeconds} s is out of range`);
  }
  const dnsNames = checkDnsNames(asked.dnsNames);
  if (!dnsNames.ok) return dnsNames;
  const zone = requireUnvouched(spiffeId, context.zones);
  if (!zone.ok) return zone;
  return seal<X509Grant>({
    svid: 'x509',
    purpose: 'workload',
    spiffeId,
    dnsNames: dnsNames.value,
    ...NO_ORIGIN,
    requestedBy,
    ttlSeconds,
    maxLifeSeconds,
  });
}
