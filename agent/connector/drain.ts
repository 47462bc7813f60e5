import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { FlowSource } from './flows.ts';

/** How often open flows are counted while draining, in milliseconds. */
const COUNT_EVERY_MS = 1000;

/** How a drain came out. */
export interface DrainOutcome {
  /** Whether no flow was open any more. */
  readonly drained: boolean;
  readonly openFlows: number;
}

/** What draining needs. */
export interface DrainParts {
  readonly clock: Clock;
  /** Undefined where nothing says how many flows are open. */
  readonly flows: FlowSource | undefined;
  /** How long a drain takes where the number is not known, in milliseconds. */
  readonly quietMs: number;
  /** Tells the connector to take no new flows; the wait begins when it answers. */
  readonly onBegin: (reason: string, deadlineMs: number) => Promise<void>;
  readonly onResume: () => void;
}

/**
 * Takes the connector out: serving → draining → drained, or back to serving by {@link resume}. A second
 * drain joins the first, with the earlier of both deadlines.
 */
export class Drain {
  readonly #parts: DrainParts;
  #state: 'serving' | 'draining' | 'drained' = 'serving';
  #deadlineMs = 0;
  #done: PromiseWithResolvers<DrainOutcome> | undefined;
  #cancel: Cancel = () => {};
  #startedMs = 0;

  constructor(parts: DrainParts) {
    this.#parts = parts;
  }

  get state(): 'serving' | 'draining' | 'drained' {
    return this.#state;
  }

  /**
   * Drains until no flow is open, at the deadline (Unix milliseconds) at the latest. How long that is is told
   * now: a wall clock that is set meanwhile changes nothing.
   */
  begin(deadlineUnixMs: number, reason: string): Promise<DrainOutcome> {
    const { clock } = this.#parts;
    const deadlineMs = clock.monotonicMs() + deadlineUnixMs - clock.nowMs();
    if (this.#done !== undefined) {
      this.#deadlineMs = Math.min(this.#deadlineMs, deadlineMs);
      return this.#done.promise;
    }
    const done = Promise.withResolvers<DrainOutcome>();
    this.#done = done;
    this.#state = 'draining';
    this.#deadlineMs = deadlineMs;
    this.#startedMs = clock.monotonicMs();
    void this.#parts.onBegin(reason, deadlineUnixMs).then(() => this.#count(done));
    return done.promise;
  }

  /** Takes flows again. */
  resume(): void {
    if (this.#state === 'serving') return;
    this.#cancel();
    this.#done?.resolve({ drained: false, openFlows: 0 });
    this.#done = undefined;
    this.#state = 'serving';
    this.#parts.onResume();
  }

  async #count(done: PromiseWithResolvers<DrainOutcome>): Promise<void> {
    if (this.#done !== done) return;
    const { clock, flows, quietMs } = this.#parts;
    const open = await flows?.();
    // Resumed while it was counted.
    if (this.#done !== done) return;
    const nowMs = clock.monotonicMs();
    const drained = open === undefined ? nowMs >= this.#startedMs + quietMs : open === 0;
    if (drained || nowMs >= this.#deadlineMs) {
      this.#state = 'drained';
      done.resolve({ drained, openFlows: open ?? 0 });
      return;
    }
    const waitMs = Math.min(COUNT_EVERY_MS, Math.max(this.#deadlineMs - nowMs, 1));
    this.#cancel = clock.after(waitMs, () => void this.#count(done));
  }
}
