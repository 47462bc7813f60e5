import type { Cancel, Clock } from '../../base/clock.ts';

/** What a name is to be done for next, and when. */
interface Planned {
  readonly dueMs: number;
  readonly cancel: Cancel;
}

/**
 * Work that is due by name: one moment each, of which the earlier counts; never twice at a time for one name.
 * What is planned while it runs comes afterwards. States: open → closed.
 */
export class Schedule {
  readonly #clock: Clock;
  readonly #work: (name: string) => Promise<void>;
  readonly #planned = new Map<string, Planned>();
  readonly #running = new Map<string, Promise<void>>();
  #closed = false;

  /** @param work Never rejects. */
  constructor(clock: Clock, work: (name: string) => Promise<void>) {
    this.#clock = clock;
    this.#work = work;
  }

  /** Whether work for a name is under way. */
  runs(name: string): boolean {
    return this.#running.has(name);
  }

  /** Whether something is planned for a name, or under way. */
  has(name: string): boolean {
    return this.#planned.has(name) || this.#running.has(name);
  }

  /** Names that something is planned for. */
  get names(): readonly string[] {
    return [...this.#planned.keys()];
  }

  /** Plans work in so many milliseconds, unless it is planned for earlier. */
  plan(name: string, delayMs: number): void {
    if (this.#closed) return;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const before = this.#planned.get(name);
    if (before !== undefined && before.dueMs <= dueMs) return;
    before?.cancel();
    const cancel = this.#clock.after(delayMs, () => this.#begin(name));
    this.#planned.set(name, { dueMs, cancel });
  }

  /** Forgets what is planned; what runs goes on. */
  drop(name: string): void {
    this.#planned.get(name)?.cancel();
    this.#planned.delete(name);
  }

  /** Does `work` for a name after what runs for it, and before anything planned. */
  async alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const running = this.#running.get(name);
      if (running === undefined) break;
      await running;
    }
    const done = work();
    this.#hold(
      name,
      done.then(() => {}),
    );
    return done;
  }

  /** Begins nothing more; what runs is not waited for, as a BMC may take minutes. */
  close(): void {
    this.#closed = true;
    for (const name of this.names) this.drop(name);
  }

  #begin(name: string): void {
    this.#planned.delete(name);
    void this.alone(name, () => this.#work(name));
  }

  #hold(name: string, done: Promise<void>): void {
    const mine = done
      .catch(() => {})
      .finally(() => {
        if (this.#running.get(name) === mine) this.#running.delete(name);
      });
    this.#running.set(name, mine);
  }
}
