import { fail, type Result } from '../base/result.ts';

const MAX_WAITING = 8;

/**
 * One collection at a time for each target, in the order in which they were asked for: a BMC refuses a
 * second one and hands out the latest result, so two of ours would spoil each other. One of these is
 * shared by all clients of a process.
 */
export class TargetTurns {
  readonly #maxWaiting: number;
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(maxWaiting: number = MAX_WAITING) {
    this.#maxWaiting = maxWaiting;
  }

  /** Targets that are being collected from. */
  get busy(): number {
    return this.#waiting.size;
  }

  /**
   * Does the work when its turn comes. Fails with REDFISH_QUEUE_FULL where too many wait, or the signal ends
   * the wait.
   */
  async take<T>(
    target: string,
    signal: AbortSignal,
    work: () => Promise<Result<T>>,
  ): Promise<Result<T>> {
    const line = this.#waiting.get(target);
    if (line === undefined) {
      this.#waiting.set(target, []);
    } else if (line.length >= this.#maxWaiting) {
      return fail('REDFISH_QUEUE_FULL', `${line.length} collections wait for ${target} already`);
    } else if (!(await waitInLine(line, signal))) {
      return fail('REDFISH_QUEUE_FULL', `the turn to collect from ${target} did not come in time`);
    }
    try {
      return await work();
    } finally {
      this.#pass(target);
    }
  }

  /** Lets the next in, who finds the line as it is; the last one clears it away. */
  #pass(target: string): void {
    const next = this.#waiting.get(target)?.shift();
    if (next === undefined) this.#waiting.delete(target);
    else next();
  }
}

function waitInLine(line: (() => void)[], signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const enter = (): void => {
      signal.removeEventListener('abort', leave);
      resolve(true);
    };
    const leave = (): void => {
      line.splice(line.indexOf(enter), 1);
      resolve(false);
    };
    line.push(enter);
    signal.addEventListener('abort', leave, { once: true });
  });
}
