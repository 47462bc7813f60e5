/** Tells the story of the demo: steps with their time, facts below them, a line while it waits. */
export class Screen {
  readonly #out: (text: string) => void;
  readonly #tty: boolean;
  readonly #startMs = performance.now();
  #number = 0;

  constructor(out: (text: string) => void, tty: boolean) {
    this.#out = out;
    this.#tty = tty;
  }

  /** A line of the story. */
  say(text: string): void {
    this.#out(`${text}\n`);
  }

  /** A fact that belongs to the step above it. */
  fact(text: string): void {
    this.#out(`      ${text}\n`);
  }

  /** Runs a step; tells what it does before, and how long it took after. */
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#out(`\n  ${++this.#number}. ${what}\n`);
    const startMs = performance.now();
    const value = await work();
    this.#out(`      ✓ ${seconds(performance.now() - startMs)}\n`);
    return value;
  }

  /** Shows that it goes on while `work` lasts: in place on a terminal, a line now and then elsewhere. */
  async waiting<T>(what: () => string, work: Promise<T>): Promise<T> {
    const show = (): void =>
      this.#out(this.#tty ? `\r\x1b[K      … ${what()}` : `      … ${what()}\n`);
    const timer = setInterval(show, this.#tty ? 200 : 5000);
    try {
      return await work;
    } finally {
      clearInterval(timer);
      if (this.#tty) this.#out('\r\x1b[K');
    }
  }

  /** Time since the beginning. */
  elapsed(): string {
    return seconds(performance.now() - this.#startMs);
  }
}

/** `45 ms` or `1.2 s`. */
export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
