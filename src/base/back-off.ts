import { type Random, randomFraction } from './random.ts';

/** How long to wait between tries. */
export interface BackOffOptions {
  /** Before the second try. */
  readonly firstMs: number;
  /** Longest wait. */
  readonly maxMs: number;
}

/** Waits that double from try to try, each drawn from its upper half. */
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
    const { firstMs, maxMs } = this.#options;
    const fullMs = Math.min(firstMs * 2 ** Math.min(this.#tries++, 30), maxMs);
    return fullMs * (0.5 + randomFraction(this.#random) / 2);
  }

  /** Starts again: a try succeeded. */
  reset(): void {
    this.#tries = 0;
  }
}
