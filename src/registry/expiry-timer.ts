import type { Cancel, Clock } from '../base/clock.ts';
import type { View } from './view.ts';

/** Longest wait: wall clocks jump, timers do not. */
const LONGEST_WAIT_MS = 60_000;

/** Lets entries go when their time is over. Without entries that expire there is no timer. */
export class ExpiryTimer {
  readonly #view: View;
  readonly #clock: Clock;
  readonly #onExpired: () => void;
  #cancel: Cancel | undefined;
  #armedForSeconds: number | undefined;

  /** @param onExpired Called after the view dropped entries. */
  constructor(view: View, clock: Clock, onExpired: () => void) {
    this.#view = view;
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  /** Sets the timer for the earliest expiry, where that changed. */
  arm(): void {
    const next = this.#view.expiries.nextSeconds;
    if (next === this.#armedForSeconds) return;
    this.close();
    if (next === undefined) return;
    this.#armedForSeconds = next;
    const waitMs = Math.min(next * 1000 - this.#clock.nowMs(), LONGEST_WAIT_MS);
    this.#cancel = this.#clock.after(waitMs, () => this.#fire());
  }

  /** Takes the timer away. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#armedForSeconds = undefined;
  }

  #fire(): void {
    this.close();
    if (this.#view.expire(Math.floor(this.#clock.nowMs() / 1000))) this.#onExpired();
    this.arm();
  }
}
