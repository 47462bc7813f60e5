import { type Random, randomFraction } from './random.ts';

/** How long to wait between tries. */
export interface BackOffOptions {
  /** Before the second try. */
  readonly firstMs: number;
  /** Longest wait. */
  readonly maxMs: number;
}

/**
 * The wait after so many failures in a row (1 is the first), in milliseconds: doubling, drawn from its
 * upper half, so that those who failed together do not come back together.
 */
export function backOffMs(
  { firstMs, maxMs }: BackOffOptions,
  failures: number,
  random: Random,
): number {
  const fullMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), maxMs);
  return fullMs * (0.5 + randomFraction(random) / 2);
}

/** Counts the failures by itself. */
export class BackOff {
  readonly #options: BackOffOptions;
  readonly #random: Random;
  #tries = 0;

  constructor(options: BackOffOptions, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** How long to wait now, in milliseconds. */
  next(): number {
    this.#tries += 1;
    return backOffMs(this.#options, this.#tries, this.#random);
  }

  /** Starts again: a try succeeded. */
  reset(): void {
    this.#tries = 0;
  }
}

/** How long to wait where many may have failed together. */
export interface FullJitterOptions extends BackOffOptions {
  /** The bound is never less: what the other side asks for, as it knows how many come back. */
  readonly spreadMs?: number;
}

/**
 * The wait after so many failures in a row (1 is the first), in milliseconds: drawn from zero up to a bound
 * that doubles ("full jitter"), so that thousands who lost the same server come back evenly.
 */
export function fullJitterMs(
  { firstMs, maxMs, spreadMs = 0 }: FullJitterOptions,
  failures: number,
  random: Random,
): number {
  const boundMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), maxMs);
  return Math.max(spreadMs, boundMs) * randomFraction(random);
}
