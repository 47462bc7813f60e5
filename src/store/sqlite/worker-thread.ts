import { Worker } from 'node:worker_threads';
import { SignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { workerUrl } from '../../runtime/worker-url.ts';
import type { WorkerError, WorkerMessage, WorkerStart } from './protocol.ts';

/** Its garbage is short-lived rows: a small young generation keeps the thread's memory small. */
const YOUNG_GENERATION_MIB = 8;

/** Starts the thread that owns the database; answers when that is open. Fails as opening it does. */
export async function startThread(start: WorkerStart): Promise<Result<Worker>> {
  const worker = new Worker(workerUrl('sqlite-worker', import.meta.url), {
    workerData: start,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
  });
  const first = await firstMessage(worker);
  if (first.ok) return ok(worker);
  await worker.terminate();
  return first;
}

/** The refusal that a thread sent. */
export function fromWorkerError({ code, message, details, cause }: WorkerError): Result<never> {
  return { ok: false, error: new SignetError(code, message, { details, cause }) };
}

function firstMessage(worker: Worker): Promise<Result<void>> {
  return new Promise((resolve) => {
    const notStarted = (cause?: unknown): void =>
      resolve(fail('STORE_UNAVAILABLE', 'the thread of the database did not start', { cause }));
    worker.once('message', (message: WorkerMessage) =>
      resolve(message.kind === 'refused' ? fromWorkerError(message.error) : ok(undefined)),
    );
    worker.once('error', notStarted);
    worker.once('exit', () => notStarted());
  });
}
