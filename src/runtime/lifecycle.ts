import { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Result } from '../base/result.ts';
import type { Logger } from './log.ts';

/** Longest that all stop steps together may take before {@link Lifecycle.stop} answers anyway. */
export const STOP_LIMIT_MS = 10_000;

/** Stops one part; may take a while. */
export type StopStep = () => void | Promise<void>;

interface NamedStep {
  readonly name: string;
  readonly stop: StopStep;
}

/**
 * The parts of a process in the order they were started. States: running (parts are added) →
 * stopping (once, by {@link stop}) → stopped. A part that is added while stopping is stopped at once,
 * so that a start under way leaves nothing behind.
 */
export class Lifecycle {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #steps: NamedStep[] = [];
  readonly #abort = new AbortController();
  #stopped: Promise<void> | undefined;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Aborts when stopping begins. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether stopping has begun. */
  get stopping(): boolean {
    return this.#stopped !== undefined;
  }

  /** Adds a part that has started; parts are stopped last first. */
  add(name: string, stop: StopStep): void {
    const step = { name, stop };
    if (this.#stopped === undefined) this.#steps.push(step);
    else this.#stopped = this.#stopped.then(() => this.#stopOne(step));
  }

  /** Runs a start that adds parts: when it is refused or throws, what had started is stopped again. */
  async start<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    let started = false;
    try {
      const outcome = await work();
      started = outcome.ok;
      return outcome;
    } finally {
      if (!started) await this.stop('start failed');
    }
  }

  /**
   * Stops every part, last first; a part that fails is logged and the rest go on. Answers within
   * {@link STOP_LIMIT_MS}; calling it again answers with the same promise.
   */
  stop(reason: string): Promise<void> {
    this.#stopped ??= this.#stopAll(reason);
    return this.#stopped;
  }

  async #stopAll(reason: string): Promise<void> {
    this.#log.info({ reason }, 'stopping');
    // `#stopped` must be set before anybody hears of it, else a listener could start a second round.
    await Promise.resolve();
    this.#abort.abort();
    const { promise: late, resolve } = Promise.withResolvers<'late'>();
    const cancel = this.#clock.after(STOP_LIMIT_MS, () => resolve('late'));
    let current = '';
    const work = async (): Promise<'done'> => {
      for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
        current = step.name;
        await this.#stopOne(step);
      }
      return 'done';
    };
    const outcome = await Promise.race([work(), late]);
    cancel();
    if (outcome === 'late') this.#log.error({ part: current }, 'stopping took too long');
    else this.#log.info('stopped');
  }

  async #stopOne(step: NamedStep): Promise<void> {
    try {
      await step.stop();
    } catch (error) {
      this.#log.error({ err: error, part: step.name }, 'stopping a part failed');
    }
  }
}

/** What the process does on signals. */
export interface SignalActions {
  /** SIGTERM, SIGINT or the end of the lifeline; a second one ends the process at once. */
  readonly stop: (reason: string) => void;
  /** SIGHUP; without it the signal is ignored, so that a closed terminal does not end a service. */
  readonly reload?: () => void;
}

/** Takes over the signals of the process. Returns what gives them back. */
export function onSignals(actions: SignalActions): () => void {
  let asked = false;
  const stop = (signal: NodeJS.Signals): void => {
    // The operator insists: 128 + signal number, as shells report it.
    if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
    asked = true;
    actions.stop(signal);
  };
  const reload = (): void => actions.reload?.();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', reload);
  return () => {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
    process.off('SIGHUP', reload);
  };
}

/** Name of the environment variable with the file descriptor of the parent's pipe. */
export const LIFELINE_VARIABLE = 'SIGNET_LIFELINE_FD';

/**
 * Calls `onEnd` when the parent that handed us the other end of a pipe is gone, however it ended.
 * Does nothing where the variable is absent. The variable is taken out of `env`, so that children of
 * this process do not wait on a descriptor they do not have. Returns what ends the watch.
 */
export function watchLifeline(env: NodeJS.ProcessEnv, onEnd: () => void): () => void {
  const text = env[LIFELINE_VARIABLE];
  delete env[LIFELINE_VARIABLE];
  if (text === undefined || !/^[0-9]{1,5}$/.test(text)) return () => {};
  const socket = new Socket({ fd: Number(text), readable: true, writable: false });
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    socket.destroy();
    onEnd();
  };
  socket.on('end', end).on('error', end).on('close', end).resume();
  // The pipe alone is no reason to stay alive.
  socket.unref();
  return () => {
    ended = true;
    socket.destroy();
  };
}
