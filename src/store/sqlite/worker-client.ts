import type { Worker } from 'node:worker_threads';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { type Random, randomFraction } from '../../base/random.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import type {
  AnswerOf,
  ArgsOf,
  OperationName,
  WorkerMessage,
  WorkerRequest,
  WorkerStart,
} from './protocol.ts';
import { fromWorkerError, startThread } from './worker-thread.ts';

/** Most requests that may wait for the database at once. */
const MAX_WAITING = 4096;

/** Waits before the thread is started again, doubling until it has answered something. */
const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 30_000;

/** What happens to the thread of the database after it was started. */
export type StoreThreadEvent =
  /** It ended, or could not be started again; the next attempt is after `retryMs`. */
  | { readonly kind: 'ended'; readonly error: SignetError; readonly retryMs: number }
  /** It runs again; the database was opened anew. */
  | { readonly kind: 'restarted' };

/** What the thread is started with, and again when it has ended. */
export interface WorkerClientOptions {
  readonly start: WorkerStart;
  readonly clock: Clock;
  readonly random: Random;
  readonly onThread: (event: StoreThreadEvent) => void;
}

/**
 * The thread that owns the database, seen from the main thread: running; ended, when every call is
 * refused and another is about to be started; or closed, for good. Nothing is sent twice: a request
 * whose answer the thread took with it is refused, and whoever sent it finds out what became of it.
 */
export class WorkerClient {
  readonly #options: WorkerClientOptions;
  readonly #waiting = new Map<number, (result: Result<unknown>) => void>();
  readonly #listeners = new Set<() => void>();
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restarting: Promise<void> | undefined;
  #cancelRestart: Cancel | undefined;
  #restartMs = FIRST_RESTART_MS;
  #nextId = 1;
  #down: Failed | undefined;
  #closed = false;

  private constructor(options: WorkerClientOptions) {
    this.#options = options;
  }

  /** Starts the thread; answers when the database is open. */
  static async start(options: WorkerClientOptions): Promise<Result<WorkerClient>> {
    const worker = await startThread(options.start);
    if (!worker.ok) return worker;
    const client = new WorkerClient(options);
    client.#attach(worker.value);
    return ok(client);
  }

  /** Runs an operation in the thread. */
  call<K extends OperationName>(op: K, args: ArgsOf<K>): Promise<Result<AnswerOf<K>>> {
    if (this.#down !== undefined) return Promise.resolve(this.#down);
    if (this.#waiting.size >= MAX_WAITING) {
      return Promise.resolve(fail('STORE_OVERLOADED', `${MAX_WAITING} requests wait already`));
    }
    const id = this.#nextId++;
    return new Promise((resolve) => {
      // The worker answers an operation with what the protocol says for it.
      this.#waiting.set(id, resolve as (result: Result<unknown>) => void);
      this.#post({ id, op, args });
    });
  }

  /** Calls `wake` at each commit with changes. Returns what ends it. */
  onWake(wake: () => void): () => void {
    this.#listeners.add(wake);
    return () => this.#listeners.delete(wake);
  }

  /** Lets what waits finish, then closes the database and ends the thread. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#down = fail('STORE_UNAVAILABLE', 'the store is closed');
      this.#cancelRestart?.();
      this.#post({ op: 'close' });
    }
    await this.#restarting;
    await this.#exited;
  }

  #attach(worker: Worker): void {
    let cause: unknown;
    this.#worker = worker;
    this.#down = undefined;
    worker.on('message', (message: WorkerMessage) => this.#receive(message));
    worker.on('error', (error) => {
      cause = error;
    });
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#ended(cause);
        resolve();
      });
    });
  }

  #post(request: WorkerRequest): void {
    this.#worker?.postMessage(request);
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'wake':
        this.#wake();
        return;
      case 'answer':
        // Only now: a thread that ends at its first request is not to be started all the time.
        this.#restartMs = FIRST_RESTART_MS;
        this.#settle(message.id, ok(message.answer));
        return;
      case 'failed':
        this.#settle(message.id, fromWorkerError(message.error));
        return;
    }
  }

  #wake(): void {
    for (const wake of this.#listeners) wake();
  }

  #settle(id: number, result: Result<unknown>): void {
    const resolve = this.#waiting.get(id);
    this.#waiting.delete(id);
    resolve?.(result);
  }

  #ended(cause: unknown): void {
    this.#worker = undefined;
    const unknown = 'the thread of the database ended; whether a write was made is not known';
    const lost = fail('STORE_UNAVAILABLE', unknown, { cause });
    if (!this.#closed) this.#restartLater(lost.error);
    for (const id of [...this.#waiting.keys()]) this.#settle(id, lost);
  }

  /** Waits from half to all of a doubling time, so that a database that will not open is left in peace. */
  #restartLater(error: SignetError): void {
    const { clock, random, onThread } = this.#options;
    const why = 'the thread of the database ended and is being started again; nothing was written';
    this.#down = fail('STORE_UNAVAILABLE', why, { cause: error });
    const retryMs = Math.round(this.#restartMs * (0.5 + randomFraction(random) / 2));
    this.#restartMs = Math.min(this.#restartMs * 2, LONGEST_RESTART_MS);
    this.#cancelRestart = clock.after(retryMs, () => {
      this.#restarting = this.#restart();
    });
    onThread({ kind: 'ended', error, retryMs });
  }

  async #restart(): Promise<void> {
    const worker = await startThread(this.#options.start);
    if (this.#closed) {
      if (worker.ok) await worker.value.terminate();
      return;
    }
    if (!worker.ok) return this.#restartLater(worker.error);
    this.#attach(worker.value);
    this.#options.onThread({ kind: 'restarted' });
    // The thread before may have committed what it could not tell of any more.
    this.#wake();
  }
}
