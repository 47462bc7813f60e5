/** Difference that is worth a word, in milliseconds. */
const WORTH_A_WORD_MS = 5000;

/** How far the server's clock is ahead of ours, as last measured. */
export interface ClockOffset {
  /** Positive where the server is ahead; undefined where it was never measured. */
  readonly ms: number | undefined;
  measured(serverMs: number, ownMs: number): void;
  /** Words to add to an error that skew may explain; empty where the clocks agree. */
  explain(): string;
}

/** An offset that was not measured yet. */
export function createClockOffset(): ClockOffset {
  let ms: number | undefined;
  return {
    get ms() {
      return ms;
    },
    measured(serverMs, ownMs) {
      ms = serverMs - ownMs;
    },
    explain() {
      if (ms === undefined || Math.abs(ms) < WORTH_A_WORD_MS) return '';
      const seconds = Math.round(Math.abs(ms) / 1000);
      return ` (the clock of this machine is ${seconds} s ${ms > 0 ? 'behind' : 'ahead of'} the server's)`;
    },
  };
}
