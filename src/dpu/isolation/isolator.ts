import type { SignetError } from '../../base/errors.ts';
import type { DpuNotice } from '../inventory.ts';
import { type IsolationHook, type IsolationOrder, orderFor } from './isolation.ts';

/** What became of an order. */
export interface IsolationOutcome {
  readonly order: IsolationOrder;
  /** Undefined where it was done. */
  readonly error: SignetError | undefined;
}

/**
 * Has the network follow the verdicts. Runs beside them and never before: whether a hook works has no
 * say in whether a DPU is out. Orders for one DPU run one after the other, so that the last one counts.
 */
export class Isolator {
  readonly #hooks: readonly IsolationHook[];
  readonly #onOutcome: (outcome: IsolationOutcome) => void;
  readonly #abort = new AbortController();
  readonly #running = new Map<string, Promise<void>>();

  constructor(hooks: readonly IsolationHook[], onOutcome: (outcome: IsolationOutcome) => void) {
    this.#hooks = hooks;
    this.#onOutcome = onOutcome;
  }

  /** Hears of an event; answers at once. */
  hear(notice: DpuNotice): void {
    const order = this.#hooks.length === 0 ? undefined : orderFor(notice);
    if (order === undefined) return;
    const before = this.#running.get(order.serial) ?? Promise.resolve();
    const mine = before
      .then(() => this.#carryOut(order))
      .finally(() => {
        if (this.#running.get(order.serial) === mine) this.#running.delete(order.serial);
      });
    this.#running.set(order.serial, mine);
  }

  /** Ends what runs, and waits for its end. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#running.values());
  }

  async #carryOut(order: IsolationOrder): Promise<void> {
    await Promise.all(
      this.#hooks.map(async (hook) => {
        const done = await hook(order, this.#abort.signal);
        this.#onOutcome({ order, error: done.ok ? undefined : done.error });
      }),
    );
  }
}
