import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, type Result } from '../base/result.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { TargetTurns } from './target-turns.ts';

/** Bounds of a server's looks at all its BMCs. */
export interface FleetLimits {
  /** Looks under way at one time. */
  readonly concurrent: number;
  /** Looks that wait for a place; a further one is refused. */
  readonly waiting: number;
  /** How long a BMC that refused the account is left alone: BMCs lock accounts. */
  readonly lockoutMs: number;
}

/** What is used where nothing else is set. */
export const DEFAULT_FLEET_LIMITS: FleetLimits = {
  concurrent: 32,
  waiting: 10_000,
  lockoutMs: 600_000,
};

/** What a gate stands on. */
export interface FleetGateOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits?: Partial<FleetLimits>;
}

/** Looks that may wait for one BMC. */
const WAITING_AT_ONE = 4;

/**
 * Whether a failure is silence, for which there is a grace before anything follows (reference §7.8), or
 * an answer: another certificate, a refused account, a target that is not there. A turn that did not come
 * is neither: BMCs that hang must not speak against others.
 */
export function isSilence({ code, retryable }: SignetError): boolean {
  return code.startsWith('REDFISH_') && retryable && code !== 'REDFISH_QUEUE_FULL';
}

/**
 * Where all looks of a server at its BMCs pass: one at a time for each BMC, so many for the whole fleet,
 * and none at a BMC that refused the account a short while ago.
 */
export class FleetGate {
  readonly #clock: Clock;
  readonly #limits: FleetLimits;
  readonly #turns = new TargetTurns(WAITING_AT_ONE);
  readonly #waiting = new Set<() => void>();
  readonly #refused = new Map<string, { readonly error: SignetError; readonly untilMs: number }>();
  readonly #looks: ReturnType<typeof createFleetMetrics>;
  #running = 0;

  constructor({ clock, metrics, limits }: FleetGateOptions) {
    this.#clock = clock;
    this.#limits = { ...DEFAULT_FLEET_LIMITS, ...limits };
    this.#looks = createFleetMetrics(metrics);
    metrics.reading('bmc_looks_running', 'Looks at BMCs under way', () => this.#running);
    metrics.reading('bmc_looks_waiting', 'Looks at BMCs that wait', () => this.#waiting.size);
  }

  /**
   * Does `work` when its turn comes. Fails as the work does, with REDFISH_QUEUE_FULL where too many wait or the
   * signal ends the wait, which says nothing of this BMC, and with the last refusal of the account for as long
   * as the BMC is left alone.
   */
  pass<T>(bmc: string, signal: AbortSignal, work: () => Promise<Result<T>>): Promise<Result<T>> {
    return this.#turns.take(bmc, signal, async () => {
      const refused = this.#refusal(bmc);
      if (refused !== undefined) return { ok: false, error: refused };
      const place = await this.#place(signal);
      return place.ok ? this.#measured(bmc, work) : place;
    });
  }

  #refusal(bmc: string): SignetError | undefined {
    const held = this.#refused.get(bmc);
    if (held === undefined) return undefined;
    if (this.#clock.monotonicMs() < held.untilMs) return held.error;
    this.#refused.delete(bmc);
    return undefined;
  }

  async #measured<T>(bmc: string, work: () => Promise<Result<T>>): Promise<Result<T>> {
    const startedMs = this.#clock.monotonicMs();
    try {
      const done = await work();
      const code = done.ok ? 'ok' : done.error.code;
      this.#looks.count.inc({ code });
      this.#looks.seconds.observe((this.#clock.monotonicMs() - startedMs) / 1000);
      if (!done.ok && code === 'REDFISH_UNAUTHENTICATED') {
        const untilMs = this.#clock.monotonicMs() + this.#limits.lockoutMs;
        this.#refused.set(bmc, { error: done.error, untilMs });
      }
      return done;
    } finally {
      this.#running -= 1;
      this.#admit();
    }
  }

  /** Waits for one of the fleet's places, first come first. */
  #place(signal: AbortSignal): Promise<Result<void>> {
    if (this.#waiting.size >= this.#limits.waiting) {
      const message = `${this.#waiting.size} looks at BMCs wait already`;
      return Promise.resolve(fail('REDFISH_QUEUE_FULL', message));
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting.delete(enter);
        resolve(fail('REDFISH_QUEUE_FULL', 'the turn to look at the BMC did not come in time'));
      };
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve({ ok: true, value: undefined });
      };
      if (signal.aborted) return leave();
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.add(enter);
      this.#admit();
    });
  }

  #admit(): void {
    for (const enter of this.#waiting) {
      if (this.#running >= this.#limits.concurrent) return;
      this.#waiting.delete(enter);
      this.#running += 1;
      enter();
    }
  }
}

function createFleetMetrics(metrics: Metrics) {
  return {
    count: metrics.counter('bmc_looks_total', 'Looks at BMCs, by what came of them', ['code']),
    seconds: metrics.seconds('bmc_look_seconds', 'Time of a look at a BMC, without its wait'),
  };
}
