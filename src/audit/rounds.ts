import type { Cancel, Clock } from '../base/clock.ts';

/** Work in the background, a round after the other with a pause between. States: running → closed. */
export class Rounds {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #everyMs: number;
  /** One round; answers whether there will be another. */
  readonly #work: () => Promise<boolean>;
  #running: Promise<void> = Promise.resolve();
  #cancel: Cancel = () => {};
  #closed = false;

  constructor(
    { clock, everyMs }: { readonly clock: Pick<Clock, 'after'>; readonly everyMs: number },
    work: () => Promise<boolean>,
  ) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#work = work;
  }

  /** Whether the round under way is to come to its end. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Does a round, now; then again after a pause. */
  run(): Promise<void> {
    this.#running = this.#round();
    return this.#running;
  }

  /** Begins no further round, and waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#running;
  }

  async #round(): Promise<void> {
    const goesOn = await this.#work();
    if (goesOn && !this.#closed) {
      this.#cancel = this.#clock.after(this.#everyMs, () => void this.run());
    }
  }
}
