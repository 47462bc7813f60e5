import type { JwtGrant, X509Grant } from '../policy/grant.ts';

/** Lifetimes where a grant names none, and the backdating, in seconds. */
export interface Lifetimes {
  readonly x509Seconds: number;
  readonly agentSeconds: number;
  readonly jwtSeconds: number;
  readonly backdateSeconds: number;
}

/** From when to when, in Unix seconds. */
export interface Validity {
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
}

/**
 * Backdating takes at most this share of the time that lies ahead. Agents renew at half of the time
 * between the certificate's two dates: one that lives 30 s and starts 60 s ago would be overdue at once.
 */
const MAX_BACKDATE_SHARE = 1 / 4;

/**
 * Validity of a certificate: backdated, so that a node whose clock is behind accepts it, and inside
 * that of the authority (X509-26).
 */
export function x509Validity(
  grant: Pick<
    X509Grant,
    'purpose' | 'ttlSeconds' | 'notAfterSeconds' | 'notBeforeSeconds' | 'maxLifeSeconds'
  >,
  authority: { readonly notBeforeMs: number; readonly notAfterMs: number },
  nowMs: number,
  lifetimes: Lifetimes,
): Validity {
  const nowSeconds = Math.floor(nowMs / 1000);
  const usual = grant.purpose === 'agent' ? lifetimes.agentSeconds : lifetimes.x509Seconds;
  const endSeconds = Math.min(
    nowSeconds + (grant.ttlSeconds || usual),
    authority.notAfterMs / 1000,
    grant.notAfterSeconds ?? Number.POSITIVE_INFINITY,
  );
  const longest = Math.floor((endSeconds - nowSeconds) * MAX_BACKDATE_SHARE);
  const backdateSeconds = Math.max(0, Math.min(lifetimes.backdateSeconds, longest));
  const notBeforeSeconds = Math.max(
    nowSeconds - backdateSeconds,
    authority.notBeforeMs / 1000,
    grant.notBeforeSeconds ?? 0,
  );
  const lifeSeconds = grant.maxLifeSeconds ?? Number.POSITIVE_INFINITY;
  return {
    notBeforeSeconds,
    notAfterSeconds: Math.min(endSeconds, notBeforeSeconds + lifeSeconds),
  };
}

/** Validity of a token: from now on, and not longer than its key. Tokens have no `nbf`. */
export function jwtValidity(
  grant: Pick<JwtGrant, 'ttlSeconds'>,
  keyEndSeconds: number,
  nowMs: number,
  lifetimes: Lifetimes,
): Validity {
  const nowSeconds = Math.floor(nowMs / 1000);
  const endSeconds = nowSeconds + (grant.ttlSeconds || lifetimes.jwtSeconds);
  return {
    notBeforeSeconds: nowSeconds,
    notAfterSeconds: Math.min(endSeconds, keyEndSeconds),
  };
}
