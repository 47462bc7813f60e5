import type { Clock } from '../base/clock.ts';
import { createRateLimiter } from '../rpc/rate-limiter.ts';

/** Sessions that one connector may begin: it must not use up what all may. */
const OWN = { perSecond: 1, burst: 20 } as const;

/** How many sessions may begin. */
export interface Openings {
  /** Whether this connector may begin one now. */
  take(connectorId: string): boolean;
}

/** @param perSecond Sessions of all connectors that may begin in a second; as many again at once. */
export function createOpenings(perSecond: number, clock: Clock): Openings {
  const all = createRateLimiter({ limit: { perSecond, burst: perSecond }, clock });
  const own = createRateLimiter({ limit: OWN, clock });
  return { take: (connectorId) => own.take(connectorId) && all.take('') };
}
