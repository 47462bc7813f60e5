/** Kills the process at its n-th durable step: what was called never answers. */
export class Killer {
  readonly died = Promise.withResolvers<void>();
  #left: number;

  constructor(steps: number) {
    this.#left = steps;
  }

  /** Goes on, or never answers. */
  async step(): Promise<void> {
    this.#left -= 1;
    if (this.#left === 0) this.died.resolve();
    if (this.#left <= 0) await new Promise(() => {});
  }

  /** A durable act between two steps. */
  async around<T>(act: () => Promise<T>): Promise<T> {
    await this.step();
    const done = await act();
    await this.step();
    return done;
  }
}
