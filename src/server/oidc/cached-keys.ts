import type { Propagation } from '../../authority/barrier.ts';
import type { Clock } from '../../base/clock.ts';
import { ok } from '../../base/result.ts';

/** What the propagation barrier calls those who read discovery. */
const READERS = 'readers of OIDC discovery';

/**
 * Those who verify tokens by discovery, as one that a new JWT key waits for: they may keep the keys that
 * they read for `cacheSeconds`, and only some of them look again when a token names a key they miss.
 */
export function cachedKeys(cacheSeconds: number, clock: Pick<Clock, 'nowMs'>): Propagation {
  return {
    async missing({ kind, publishedAtMs }) {
      const isOld = clock.nowMs() >= publishedAtMs + cacheSeconds * 1000;
      return ok(kind === 'x509' || isOld ? [] : [READERS]);
    },
    // The barrier looks again by itself.
    onProgress: () => () => {},
  };
}
