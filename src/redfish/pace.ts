import type { Clock } from '../base/clock.ts';
import { type Random, randomFraction } from '../base/random.ts';

/** How long and how often a BMC is asked. A BMC is slow by nature: minutes are no fault. */
export interface BmcPace {
  /** For TCP and TLS together. */
  readonly connectTimeoutMs: number;
  /** For one answer. */
  readonly requestTimeoutMs: number;
  /** For one collection in all, waiting for its turn included. A BMC gives up after 300 s itself. */
  readonly collectionMs: number;
  /** Longest wait for a BMC that collects for somebody else. */
  readonly busyWaitMs: number;
  /** Collections tried where the result was somebody else's or the BMC lost it. */
  readonly attempts: number;
  /** Shortest and longest pause before a task is looked at again, or a busy BMC asked again. */
  readonly shortestPauseMs: number;
  readonly longestPauseMs: number;
}

/** What is used where nothing else is set. */
export const DEFAULT_PACE: BmcPace = {
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 30_000,
  collectionMs: 240_000,
  busyWaitMs: 60_000,
  attempts: 3,
  shortestPauseMs: 100,
  longestPauseMs: 2_000,
};

/**
 * Pause before a running task is looked at again: a tenth of the time it has taken, so that the end is
 * noticed at most a tenth late and a slow BMC is asked seldom. The hint of the BMC (30 s, whatever it
 * does) is not followed.
 */
export function pollPauseMs(pace: BmcPace, elapsedMs: number): number {
  return Math.min(pace.longestPauseMs, Math.max(pace.shortestPauseMs, elapsedMs / 10));
}

/**
 * Pause before a busy BMC is asked again: its own hint, but never longer than the longest pause, as the
 * hint is its 300 s limit and no estimate. Up to a half is taken off, so that two who wait part.
 */
export function busyPauseMs(pace: BmcPace, hintMs: number | undefined, random: Random): number {
  const longest = Math.min(hintMs ?? pace.longestPauseMs, pace.longestPauseMs);
  return Math.max(pace.shortestPauseMs, longest) * (1 - randomFraction(random) / 2);
}

/** Waits; answers false, at once, when the signal says to stop. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = (): void => {
      cancel();
      resolve(false);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', stop);
      resolve(true);
    });
    signal.addEventListener('abort', stop, { once: true });
  });
}

/**
 * Work of many requests, within the time of one collection: a BMC that takes its time over each of them
 * must not hold up whoever waits for the next.
 */
export async function inTime<T>(
  { clock, pace }: { readonly clock: Clock; readonly pace: Pick<BmcPace, 'collectionMs'> },
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, release } = deadline(clock, pace.collectionMs, outer);
  try {
    return await work(signal);
  } finally {
    release();
  }
}

/** A signal that ends after a time or with another, and its release. */
export function deadline(
  clock: Clock,
  ms: number,
  outer?: AbortSignal,
): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const cancel = clock.after(ms, stop);
  if (outer?.aborted === true) stop();
  outer?.addEventListener('abort', stop, { once: true });
  const release = (): void => {
    cancel();
    outer?.removeEventListener('abort', stop);
  };
  return { signal: controller.signal, release };
}
