/** Ends a timer; calling it again, or after the timer fired, does nothing. */
export type Cancel = () => void;

/** Time as an argument: wall clock, monotonic clock and timers. */
export interface Clock {
  /** Unix time in milliseconds. */
  nowMs(): number;
  /** Milliseconds since some fixed point; never goes back. */
  monotonicMs(): number;
  /** Calls `action` once after `delayMs` (any length); does not keep the process alive. */
  after(delayMs: number, action: () => void): Cancel;
}

/** Longest delay that one Node.js timer takes (32-bit signed milliseconds). */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, action) {
    let handle: NodeJS.Timeout;
    const arm = (remainingMs: number): void => {
      const step = Math.min(Math.max(remainingMs, 0), MAX_TIMER_MS);
      handle = setTimeout(() => {
        if (remainingMs > step) arm(remainingMs - step);
        else action();
      }, step);
      handle.unref();
    };
    arm(delayMs);
    return () => clearTimeout(handle);
  },
};

interface ManualTimer {
  readonly dueMs: number;
  readonly action: () => void;
}

function earliest(timers: readonly ManualTimer[]): ManualTimer | undefined {
  let first: ManualTimer | undefined;
  for (const timer of timers) if (!first || timer.dueMs < first.dueMs) first = timer;
  return first;
}

/** A clock that stands still until it is moved: for tests and simulations. */
export class ManualClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  #timers: ManualTimer[] = [];

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, action: () => void): Cancel {
    const timer = { dueMs: this.#elapsedMs + Math.max(delayMs, 0), action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Moves both clocks forward and fires due timers in order, each at its own time. */
  advance(ms: number): void {
    const endMs = this.#elapsedMs + ms;
    for (;;) {
      const next = earliest(this.#timers);
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#step(next.dueMs);
      next.action();
    }
    this.#step(endMs);
  }

  /** Moves the wall clock only, as an operator or NTP would. */
  setWallClock(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  #step(toElapsedMs: number): void {
    this.#nowMs += toElapsedMs - this.#elapsedMs;
    this.#elapsedMs = toElapsedMs;
  }
}
