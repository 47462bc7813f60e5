import { Worker } from 'node:worker_threads';
import { SignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { workerUrl } from '../../runtime/worker-url.ts';
import type {
  AnswerOf,
  ArgsOf,
  OperationName,
  WorkerError,
  WorkerMessage,
  WorkerRequest,
  WorkerStart,
} from './protocol.ts';

/** Most requests that may wait for the database at once. */
const MAX_WAITING = 4096;

/** Its garbage is short-lived rows: a small young generation keeps the thread's memory small. */
const YOUNG_GENERATION_MIB = 8;

/** The thread that owns the database, seen from the main thread. */
export class WorkerClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (result: Result<unknown>) => void>();
  readonly #listeners = new Set<() => void>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #ended: Result<never> | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (message: WorkerMessage) => this.#receive(message));
    worker.on('error', (error) => this.#end('the thread of the database failed', error));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#end('the thread of the database ended');
        resolve();
      });
    });
  }

  /** Starts the thread; answers when the database is open. */
  static async start(start: WorkerStart): Promise<Result<WorkerClient>> {
    const worker = new Worker(workerUrl('sqlite-worker', import.meta.url), {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    });
    const first = await firstMessage(worker);
    if (first.ok) return ok(new WorkerClient(worker));
    await worker.terminate();
    return first;
  }

  /** Runs an operation in the thread. */
  call<K extends OperationName>(op: K, args: ArgsOf<K>): Promise<Result<AnswerOf<K>>> {
    if (this.#ended !== undefined) return Promise.resolve(this.#ended);
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
    if (this.#ended === undefined) {
      this.#ended = fail('STORE_UNAVAILABLE', 'the store is closed');
      this.#post({ op: 'close' });
    }
    await this.#exited;
  }

  #post(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'wake':
        for (const wake of this.#listeners) wake();
        return;
      case 'answer':
        this.#settle(message.id, ok(message.answer));
        return;
      case 'failed':
        this.#settle(message.id, fromWorkerError(message.error));
        return;
    }
  }

  #settle(id: number, result: Result<unknown>): void {
    const resolve = this.#waiting.get(id);
    this.#waiting.delete(id);
    resolve?.(result);
  }

  #end(why: string, cause?: unknown): void {
    const failure = fail('STORE_UNAVAILABLE', why, { cause });
    this.#ended ??= failure;
    for (const id of [...this.#waiting.keys()]) this.#settle(id, failure);
  }
}

function firstMessage(worker: Worker): Promise<Result<void>> {
  return new Promise((resolve) => {
    worker.once('message', (message: WorkerMessage) =>
      resolve(message.kind === 'refused' ? fromWorkerError(message.error) : ok(undefined)),
    );
    worker.once('error', (cause) =>
      resolve(fail('STORE_UNAVAILABLE', 'the thread of the database did not start', { cause })),
    );
  });
}

function fromWorkerError({ code, message, details, cause }: WorkerError): Result<never> {
  return { ok: false, error: new SignetError(code, message, { details, cause }) };
}
