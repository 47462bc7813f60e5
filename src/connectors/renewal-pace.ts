import type { Clock } from '../base/clock.ts';
import { createRateLimiter, type RateLimiter } from '../rpc/rate-limiter.ts';

/**
 * Renewals that a connector may ask for, in however many sessions: one that was refused, or whose answer
 * was lost, is asked for again at once.
 */
const PACE = { perSecond: 0.2, burst: 3 } as const;

/** One renewal of a connector at a time, and not many: each is a signature and a line of the ledger. */
export class RenewalPace {
  readonly #pace: RateLimiter;
  readonly #running = new Set<string>();

  constructor(clock: Clock) {
    this.#pace = createRateLimiter({ limit: PACE, clock });
  }

  /** Begins a renewal, unless one is under way or has just been. */
  begin(connectorId: string): boolean {
    if (this.#running.has(connectorId) || !this.#pace.take(connectorId)) return false;
    this.#running.add(connectorId);
    return true;
  }

  /** A renewal that was begun has come to its end. */
  end(connectorId: string): void {
    this.#running.delete(connectorId);
  }

  isRunning(connectorId: string): boolean {
    return this.#running.has(connectorId);
  }
}
