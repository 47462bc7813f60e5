import type { Cancel, Clock } from '../../src/base/clock.ts';

/** Why a connector without an SVID may not serve. */
export const NOT_ENROLLED = 'not enrolled';

/** What judges how long the connector may go on alone. */
export interface OfflineParts {
  readonly clock: Clock;
  /** Unix milliseconds; undefined without an SVID. */
  readonly svidEndMs: () => number | undefined;
  /** How long without a session, in seconds; 0 is until the SVID ends. */
  readonly offlineSeconds: () => number;
  /** Unix milliseconds: when a session was last known to be up. */
  readonly lastSessionMs: () => number;
  /** Told the reason why the connector may not serve now, or undefined once it may. */
  readonly onChange: (reason: string | undefined) => void;
}

/**
 * Says when the connector may no longer serve with what it has: the SVID has ended, or it was without a
 * session for longer than its group allows. Holds the time, not the wall clock's jumps, to account at each
 * {@link look}.
 */
export class Offline {
  readonly #parts: OfflineParts;
  #up = false;
  #reason: string | undefined;
  #suspended: string | undefined;
  /** When it was seen last that a session is up, by the clock that nobody sets. */
  #upMs: number | undefined;
  #cancel: Cancel = () => {};

  constructor(parts: OfflineParts) {
    this.#parts = parts;
  }

  /** A session began or ended. */
  session(up: boolean): void {
    // It was up until now, whichever it is.
    if (up || this.#up) this.#upMs = this.#parts.clock.monotonicMs();
    this.#up = up;
    if (up) this.#suspended = undefined;
    this.look();
  }

  /** The server said why nobody may be served now; holds until a session begins. */
  suspend(reason: string): void {
    this.#suspended = reason;
    this.look();
  }

  /** Judges now, and again at the next moment at which something ends. */
  look(): void {
    this.#cancel();
    const { clock, svidEndMs, onChange } = this.#parts;
    const nowMs = clock.nowMs();
    const endMs = svidEndMs();
    const limitMs = this.#limitMs();
    const reason = reasonAt(nowMs, endMs, limitMs) ?? this.#suspended;
    if (reason !== this.#reason) {
      this.#reason = reason;
      onChange(reason);
    }
    const next = [endMs, limitMs].filter((ms) => ms !== undefined && ms > nowMs);
    const soonestMs = Math.min(...next.map((ms) => ms ?? Number.POSITIVE_INFINITY));
    if (Number.isFinite(soonestMs)) {
      this.#cancel = clock.after(Math.min(soonestMs - nowMs, 60_000), () => this.look());
    }
  }

  /** Ends the watch. */
  close(): void {
    this.#cancel();
  }

  /** By the wall clock, since restarts and sleep count; no later than time itself says, which no one sets back. */
  #limitMs(): number | undefined {
    const { clock, offlineSeconds, lastSessionMs } = this.#parts;
    const seconds = offlineSeconds();
    if (this.#up || seconds === 0) return undefined;
    const limitMs = lastSessionMs() + seconds * 1000;
    if (this.#upMs === undefined) return limitMs;
    const leftMs = this.#upMs + seconds * 1000 - clock.monotonicMs();
    return Math.min(limitMs, clock.nowMs() + leftMs);
  }
}

function reasonAt(
  nowMs: number,
  endMs: number | undefined,
  limitMs: number | undefined,
): string | undefined {
  if (endMs === undefined) return NOT_ENROLLED;
  if (nowMs >= endMs) return 'the SVID has expired';
  if (limitMs === undefined || nowMs < limitMs) return undefined;
  return 'without a session for longer than the group allows';
}
