import type { ChildProcess } from 'node:child_process';
import { SignetError } from '../../base/errors.ts';

/** What every process of the demo may tell: that it cannot go on. */
interface Failed {
  readonly event: 'failed';
  readonly reason: string;
}

/** A process of the demo that tells events and takes orders over the channel between them. */
export class TellingProcess<E extends { readonly event: string }, O extends object> {
  readonly name: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #seen: E[] = [];
  readonly #waiters = new Set<() => void>();
  #ended: string | undefined;

  /** Takes over a process that was started with a channel. */
  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('message', (event: E | Failed) => this.#note(event));
    child.on('error', (error) => this.#end(error.message));
    child.on('exit', (code, signal) => this.#end(`it ended (${signal ?? code})`));
  }

  /** Tells it to do something. */
  order(order: O): void {
    if (this.#child.connected) this.#child.send(order);
  }

  /**
   * The first event of a kind that fits, from those that came and those to come. Rejects when the
   * process fails or ends, or after `limitMs`.
   */
  async event<K extends E['event']>(
    kind: K,
    limitMs: number,
    fits: (event: Extract<E, { event: K }>) => boolean = () => true,
  ): Promise<Extract<E, { event: K }>> {
    const lastMs = performance.now() + limitMs;
    for (;;) {
      const found = this.#seen.find((seen): seen is Extract<E, { event: K }> => {
        // The kind is what tells the members of the union apart.
        return seen.event === kind && fits(seen as Extract<E, { event: K }>);
      });
      if (found !== undefined) return found;
      if (this.#ended !== undefined) throw this.#problem(this.#ended);
      const leftMs = lastMs - performance.now();
      if (leftMs <= 0) throw this.#problem(`no "${kind}" within ${limitMs / 1000} s`);
      await this.#next(leftMs);
    }
  }

  /** Forgets what was told so far, so that `event` waits for what comes. */
  forget(kind: E['event']): void {
    const kept = this.#seen.filter(({ event }) => event !== kind);
    this.#seen.splice(0, this.#seen.length, ...kept);
  }

  /** Ends it and waits for that. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  #note(event: E | Failed): void {
    if (isFailed(event)) {
      this.#end(event.reason);
      return;
    }
    this.#seen.push(event);
    this.#wake();
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
  }

  #next(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#waiters.add(wake);
    });
  }

  #problem(reason: string): SignetError {
    return new SignetError('DEMO_FAILED', `${this.name}: ${reason}`);
  }
}

function isFailed(event: { readonly event: string }): event is Failed {
  return event.event === 'failed';
}
