import { type Random, randomFraction } from '../../src/base/random.ts';

/** Delays between attempts. */
export interface BackOff {
  /** Delay after the first failure, in milliseconds. */
  readonly firstMs: number;
  /** Longest delay, in milliseconds. */
  readonly longestMs: number;
}

/**
 * The delay after so many failures in a row (1 is the first): doubling, with jitter over its upper
 * half, so that agents which failed together do not come back together.
 */
export function backOffMs(backOff: BackOff, failures: number, random: Random): number {
  const full = Math.min(backOff.firstMs * 2 ** Math.min(failures - 1, 30), backOff.longestMs);
  return full * (0.5 + 0.5 * randomFraction(random));
}
