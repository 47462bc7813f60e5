import type { Clock } from '../base/clock.ts';

/** A token bucket for each key, in bounded memory. */
export interface RateLimiter {
  /** Takes `cost` tokens (1 when absent) of the key's bucket; false when it has too few. */
  take(key: string, cost?: number): boolean;
}

/** What a bucket holds. */
export interface RateLimit {
  /** Tokens that come back in a second. */
  readonly perSecond: number;
  /** Tokens of a full bucket. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Buckets kept at once; past it the longest unused one is forgotten, thus full again. */
const MAX_KEYS = 16_384;

/** Token buckets keyed by string, such as an address or an agent ID. */
export function createRateLimiter(options: {
  readonly limit: RateLimit;
  readonly clock: Clock;
  readonly maxKeys?: number;
}): RateLimiter {
  const { limit, clock, maxKeys = MAX_KEYS } = options;
  // A Map keeps insertion order: taking re-inserts, so the first key is the longest unused.
  const buckets = new Map<string, Bucket>();
  return {
    take(key, cost = 1) {
      const nowMs = clock.monotonicMs();
      const bucket = buckets.get(key) ?? { tokens: limit.burst, atMs: nowMs };
      buckets.delete(key);
      const refill = ((nowMs - bucket.atMs) / 1000) * limit.perSecond;
      bucket.tokens = Math.min(limit.burst, bucket.tokens + refill);
      bucket.atMs = nowMs;
      buckets.set(key, bucket);
      if (buckets.size > maxKeys) {
        const oldest = buckets.keys().next();
        if (!oldest.done) buckets.delete(oldest.value);
      }
      if (bucket.tokens < cost) return false;
      bucket.tokens -= cost;
      return true;
    },
  };
}
