import type { Cancel, Clock } from '../src/base/clock.ts';

/** How often the clocks are compared, in milliseconds. */
const INTERVAL_MS = 15_000;

/** Difference that counts as a jump, in milliseconds. */
const JUMP_MS = 5000;

/**
 * Calls `action` after the wall clock jumped: set by an operator, or the machine slept, which no
 * timer sees (C1, C3). Answers what ends the watch.
 */
export function watchTimeJumps(clock: Clock, action: (jumpMs: number) => void): Cancel {
  let cancel: Cancel = () => {};
  const watch = (): void => {
    const offsetMs = clock.nowMs() - clock.monotonicMs();
    cancel = clock.after(INTERVAL_MS, () => {
      const jumpMs = clock.nowMs() - clock.monotonicMs() - offsetMs;
      watch();
      if (Math.abs(jumpMs) > JUMP_MS) action(jumpMs);
    });
  };
  watch();
  return () => cancel();
}
