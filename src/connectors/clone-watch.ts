import type { Clock } from '../base/clock.ts';

/** Changes of place within the window that tell of two copies. A connector that moves changes once. */
const SUSPICIOUS = 3;

/** Over how long changes are counted, in milliseconds. */
const WINDOW_MS = 600_000;

/** Most connectors that are watched at once; past it the longest unseen one is forgotten. */
const MAX_WATCHED = 4096;

/** Tells two copies of one key from a connector that reconnects: they take the session from each other. */
export class CloneWatch {
  readonly #clock: Clock;
  readonly #watched = new Map<string, { count: number; readonly sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Notes that a session from `now` ended an open one from `before`, with the same SVID. Answers whether
   * that has happened suspiciously often from different addresses; counting then begins anew.
   */
  replaced(id: string, before: string, now: string): boolean {
    if (before === now) return false;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#watched.get(id);
    const isOld = known === undefined || nowMs - known.sinceMs > WINDOW_MS;
    const entry = isOld ? { count: 0, sinceMs: nowMs } : known;
    entry.count++;
    this.#watched.delete(id);
    if (entry.count >= SUSPICIOUS) return true;
    this.#watched.set(id, entry);
    const oldest = this.#watched.keys().next();
    if (this.#watched.size > MAX_WATCHED && !oldest.done) this.#watched.delete(oldest.value);
    return false;
  }
}
