import type { Cancel, Clock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { type Random, randomFraction } from '../../base/random.ts';
import { fail, type Result } from '../../base/result.ts';
import type { Metrics } from '../../runtime/metrics.ts';

/** How calls to a key manager outside the process are paced. */
export interface Pace {
  /** Calls that may begin in a second. */
  readonly perSecond: number;
  /** Calls that may begin at once after a quiet time. */
  readonly burst: number;
  /** Calls under way at one time. */
  readonly inFlight: number;
  /** Longest wait for the answer to one attempt. */
  readonly timeoutMs: number;
  /** Longest time for a call in all: waiting for its turn, attempts and pauses. */
  readonly deadlineMs: number;
}

/** What paced calls stand on. */
export interface PacedCallsOptions {
  readonly pace: Pace;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
}

/** One call. */
export interface PacedCall<T> {
  /** Name of the operation, for the metric. */
  readonly operation: string;
  /** Makes one attempt; the signal ends when nobody waits for it any more. */
  readonly attempt: (signal: AbortSignal) => Promise<Result<T>>;
  /** Refusals after which it is tried again; {@link PASSING_FAULTS} unless given. */
  readonly repeatOn?: readonly ErrorCode[];
  /** Whether one attempt may take all the time there is. */
  readonly unhurried?: boolean;
}

/** Refusals that may pass by themselves, for calls that may be made twice. */
export const PASSING_FAULTS: readonly ErrorCode[] = [
  'KEY_MANAGER_THROTTLED',
  'KEY_MANAGER_TIMEOUT',
  'KEY_MANAGER_UNREACHABLE',
  'KEY_MANAGER_FAULT',
  'KEY_MANAGER_DEPENDENCY',
  'KEY_UNAVAILABLE',
];

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;

interface Waiter {
  readonly start: () => void;
}

/**
 * Calls to a key manager outside the process: a token bucket in front, so that a quota that others
 * share is not used up (faults B1), a bound on calls under way, an end to each attempt and to the
 * whole, and another try after a pause with jitter, so that servers do not come back as one herd.
 * Every attempt costs a token.
 */
export class PacedCalls {
  readonly #options: PacedCallsOptions;
  readonly #waiting = new Set<Waiter>();
  readonly #calls: ReturnType<typeof createCallMetrics>;
  #tokens: number;
  #refilledAtMs: number;
  #inFlight = 0;
  #cancelRefill: Cancel | undefined;

  constructor(options: PacedCallsOptions) {
    this.#options = options;
    this.#tokens = options.pace.burst;
    this.#refilledAtMs = options.clock.monotonicMs();
    this.#calls = createCallMetrics(options.metrics);
  }

  /**
   * The answer of the first attempt that settles it. Besides the attempt's own refusals:
   * KEY_MANAGER_BUSY where its turn did not come in time, KEY_MANAGER_TIMEOUT where no answer came.
   */
  async run<T>(call: PacedCall<T>): Promise<Result<T>> {
    const { clock, pace } = this.#options;
    const endMs = clock.monotonicMs() + pace.deadlineMs;
    const repeatOn = call.repeatOn ?? PASSING_FAULTS;
    for (let tries = 0; ; tries++) {
      const answer = await this.#once(call, endMs);
      this.#calls.inc({ operation: call.operation, code: answer.ok ? 'ok' : answer.error.code });
      if (answer.ok || !repeatOn.includes(answer.error.code)) return answer;
      const pauseMs = this.#pauseMs(tries);
      if (clock.monotonicMs() + pauseMs >= endMs) return answer;
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }

  async #once<T>(call: PacedCall<T>, endMs: number): Promise<Result<T>> {
    const { clock, pace } = this.#options;
    if (!(await this.#turn(endMs))) {
      return fail('KEY_MANAGER_BUSY', 'too many calls wait for the key manager');
    }
    const patienceMs = call.unhurried === true ? pace.deadlineMs : pace.timeoutMs;
    const limitMs = Math.max(1, Math.min(patienceMs, endMs - clock.monotonicMs()));
    const controller = new AbortController();
    const { promise: late, resolve } = Promise.withResolvers<Result<T>>();
    const cancel = clock.after(limitMs, () => {
      controller.abort();
      const message = `no answer from the key manager within ${Math.round(limitMs)} ms`;
      resolve(fail('KEY_MANAGER_TIMEOUT', message));
    });
    try {
      return await Promise.race([call.attempt(controller.signal), late]);
    } finally {
      cancel();
      this.#inFlight -= 1;
      this.#pump();
    }
  }

  /** Waits for a token and a place; false when the end came first. */
  #turn(endMs: number): Promise<boolean> {
    this.#refill();
    // Whoever waits goes first.
    if (this.#waiting.size === 0 && this.#mayBegin()) {
      this.#begin();
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const waiter: Waiter = {
        start: () => {
          cancel();
          resolve(true);
        },
      };
      const cancel = this.#options.clock.after(endMs - this.#options.clock.monotonicMs(), () => {
        this.#waiting.delete(waiter);
        resolve(false);
      });
      this.#waiting.add(waiter);
      this.#pump();
    });
  }

  /** Starts those who may, first come first; sleeps until the next token where it is tokens they lack. */
  #pump(): void {
    const { pace, clock } = this.#options;
    this.#refill();
    for (const waiter of this.#waiting) {
      if (!this.#mayBegin()) break;
      this.#waiting.delete(waiter);
      this.#begin();
      waiter.start();
    }
    const lacksTokens = this.#waiting.size > 0 && this.#tokens < 1;
    if (!lacksTokens || this.#cancelRefill !== undefined) return;
    const untilNextMs = Math.ceil(((1 - this.#tokens) / pace.perSecond) * 1000);
    this.#cancelRefill = clock.after(untilNextMs, () => {
      this.#cancelRefill = undefined;
      this.#pump();
    });
  }

  #mayBegin(): boolean {
    return this.#inFlight < this.#options.pace.inFlight && this.#tokens >= 1;
  }

  #begin(): void {
    this.#tokens -= 1;
    this.#inFlight += 1;
  }

  #refill(): void {
    const { pace, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const gained = ((nowMs - this.#refilledAtMs) / 1000) * pace.perSecond;
    this.#tokens = Math.min(pace.burst, this.#tokens + gained);
    this.#refilledAtMs = nowMs;
  }

  #pauseMs(tries: number): number {
    const longest = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries);
    return longest * (0.5 + randomFraction(this.#options.random) / 2);
  }
}

function createCallMetrics(metrics: Metrics) {
  return metrics.counter('key_manager_calls_total', 'Attempts at calls to the key manager', [
    'operation',
    'code',
  ]);
}
