import type { Cancel, Clock } from '../../src/base/clock.ts';
import { type ConnectorSvid, ownRenewalMs } from './own-svid.ts';

/** How often it is looked, in milliseconds: a wall clock that is set is seen by then. */
const LOOK_MS = 60_000;

/** Least time between two words about the same SVID, in milliseconds. */
const LEAST_MS = 1000;

/** What watches the life of the SVID in use. */
export interface SvidWatchParts {
  readonly clock: Clock;
  /** Two thirds of its life are over, and nobody has asked for a renewal; told again until there is another. */
  readonly onDue: () => void;
  /** It has ended; told once. */
  readonly onEnd: () => void;
}

/** Watches the life of one SVID at a time: what is not renewed in the session must not run out unseen. */
export class SvidWatch {
  readonly #parts: SvidWatchParts;
  #cancel: Cancel = () => {};

  constructor(parts: SvidWatchParts) {
    this.#parts = parts;
  }

  /** Watches this one from now on, and no other. */
  follow(svid: ConnectorSvid): void {
    this.close();
    const { clock, onDue, onEnd } = this.#parts;
    const nowMs = clock.nowMs();
    const leftMs = svid.notAfterMs - nowMs;
    const dueInMs = ownRenewalMs(svid) - nowMs;
    // Ten times at least before the end, where a life is that long.
    const againMs = Math.max(
      Math.min((svid.notAfterMs - ownRenewalMs(svid)) / 10, LOOK_MS),
      LEAST_MS,
    );
    const waitMs = Math.min(dueInMs > 0 ? dueInMs : againMs, Math.max(leftMs, 0), LOOK_MS);
    this.#cancel = clock.after(waitMs, () => {
      if (clock.nowMs() >= svid.notAfterMs) return onEnd();
      this.follow(svid);
      if (clock.nowMs() >= ownRenewalMs(svid)) onDue();
    });
  }

  /** Ends the watch. */
  close(): void {
    this.#cancel();
  }
}
