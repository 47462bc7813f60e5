import type { Clock } from '../src/base/clock.ts';

/** Answers true at most once in so many milliseconds. */
export function createThrottle(clock: Clock, intervalMs: number): () => boolean {
  let lastMs: number | undefined;
  return () => {
    const nowMs = clock.monotonicMs();
    if (lastMs !== undefined && nowMs - lastMs < intervalMs) return false;
    lastMs = nowMs;
    return true;
  };
}
