import type { ClockOffset } from '../identity/clock-offset.ts';

/**
 * What is not as it should be though the connector serves: by name, with the reason. The whole degrades the
 * connector in its heartbeats.
 */
export class Conditions {
  readonly #reasons = new Map<string, string>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Sets a condition, or ends it where the reason is undefined. */
  set(name: string, reason: string | undefined): void {
    if (this.#reasons.get(name) === reason) return;
    if (reason === undefined) this.#reasons.delete(name);
    else this.#reasons.set(name, reason);
    this.#onChange();
  }

  /** All of them, for people; empty when all is well. */
  get text(): string {
    return [...this.#reasons].map(([name, reason]) => `${name}: ${reason}`).join('; ');
  }

  /** By name. */
  get all(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#reasons);
  }
}

/** Difference of the clocks that degrades the connector, in milliseconds. */
const SKEW_MS = 60_000;

/** What to do about a clock that is far from the server's; undefined where it is not. */
export function clockAdvice(offset: ClockOffset): string | undefined {
  if (Math.abs(offset.ms ?? 0) <= SKEW_MS) return undefined;
  return `set the clock of this machine (NTP)${offset.explain()}`;
}
