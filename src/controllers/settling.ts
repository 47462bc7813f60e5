import type { Cancel, Clock } from '../base/clock.ts';

/** Wait before what could not be written is looked at again, in milliseconds. */
const RETRY_MS = 5_000;

/** Looks at things one look after another, as often as something woke it since the last one began. */
export class Settling {
  readonly #clock: Clock;
  readonly #look: () => Promise<void>;
  readonly #listeners = new Set<() => void>();
  #running: Promise<void> | undefined;
  #isWoken = false;
  #isStopped = false;
  #cancelRetry: Cancel = () => {};

  /** @param look Never fails. */
  constructor(clock: Clock, look: () => Promise<void>) {
    this.#clock = clock;
    this.#look = look;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Calls back after each look. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wake(): void {
    if (this.#isStopped) return;
    this.#isWoken = true;
    this.#running ??= this.#settle().finally(() => {
      this.#running = undefined;
      if (this.#isWoken) this.wake();
    });
  }

  /** Wakes it some seconds later: what was changed by others meanwhile is looked at anew. */
  wakeLater(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.wake());
  }

  /**
   * No look begins any more.
   * @param closing What has to close too, before the last look is waited for.
   */
  async stop(closing: readonly { stop(): Promise<void> }[]): Promise<void> {
    this.#isStopped = true;
    this.#cancelRetry();
    await Promise.all(closing.map((one) => one.stop()));
    await this.#running;
  }

  async #settle(): Promise<void> {
    // Listeners of the registry are told within its own turn: what they say comes after it.
    await Promise.resolve();
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      await this.#look();
      for (const listener of [...this.#listeners]) listener();
    }
  }
}
