import type { Clock } from '../base/clock.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createRateLimiter } from '../rpc/rate-limiter.ts';

/** Sessions that one connector may begin: it must not use up what all may. */
const OWN = { perSecond: 1, burst: 20 } as const;

/** Least time that lost sessions come back in, in milliseconds. */
const LEAST_SPREAD_MS = 2000;

/** What openings go by. */
export interface OpeningsOptions {
  /** Sessions of all connectors that may begin in a second; as many again at once. */
  readonly sessionsPerSecond: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly heartbeatSeconds: number;
}

/** How many sessions may begin, and when. */
export interface Openings {
  /** Lets a connector begin one now, or fails with CONNECTOR_SESSION_PACED and when to come again. */
  admit(connectorId: string): Result<void>;
  /**
   * The time in which so many connectors come back at that pace, in milliseconds; two heartbeats at most,
   * so that none that waits its turn is taken for lost.
   */
  spreadMs(connectors: number): number;
}

/** Paces sessions: a server that starts again would have all of them at its door in one moment. */
export function createOpenings(options: OpeningsOptions): Openings {
  const { clock, random, heartbeatSeconds } = options;
  const mostSpreadMs = Math.max(LEAST_SPREAD_MS, heartbeatSeconds * 2000);
  // Read at each use: a reload may change it.
  const pace = {
    get perSecond() {
      return options.sessionsPerSecond;
    },
    get burst() {
      return options.sessionsPerSecond;
    },
  };
  const all = createRateLimiter({ limit: pace, clock });
  const own = createRateLimiter({ limit: OWN, clock });
  return {
    admit(connectorId) {
      if (own.take(connectorId) && all.take('')) return ok(undefined);
      // Those that come back are spread over seconds, so that they do not come together again.
      const retryAfterMs = 1000 + Math.round(randomFraction(random) * 9000);
      return fail('CONNECTOR_SESSION_PACED', 'too many sessions begin at once', {
        details: { retryAfterMs },
      });
    },
    spreadMs(connectors) {
      const ms = Math.ceil((connectors / pace.perSecond) * 1000);
      return Math.min(Math.max(ms, LEAST_SPREAD_MS), mostSpreadMs);
    },
  };
}
