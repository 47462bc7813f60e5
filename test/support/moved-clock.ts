import { type Cancel, type Clock, systemClock } from '../../src/base/clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** The machine's clock, moved: for what talks over real sockets, and is to see hours go by. */
export class MovedClock implements Clock {
  readonly #timers = new Set<Timer>();
  #wallMs = 0;
  #elapsedMs = 0;

  nowMs(): number {
    return systemClock.nowMs() + this.#wallMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#elapsedMs;
  }

  after(delayMs: number, action: () => void): Cancel {
    const end = (): void => {
      cancel();
      this.#timers.delete(timer);
    };
    const fire = (): void => {
      end();
      action();
    };
    const timer = { dueMs: this.monotonicMs() + delayMs, fire };
    const cancel = systemClock.after(delayMs, fire);
    this.#timers.add(timer);
    return end;
  }

  /** Lets time go by, in one step; what is due fires, what that begins does not. */
  advance(ms: number): void {
    this.#wallMs += ms;
    this.#elapsedMs += ms;
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.monotonicMs());
    for (const { fire } of due.toSorted((a, b) => a.dueMs - b.dueMs)) fire();
  }

  /** Sets the wall clock forth, or back, as an operator would. */
  set(ms: number): void {
    this.#wallMs += ms;
  }
}
