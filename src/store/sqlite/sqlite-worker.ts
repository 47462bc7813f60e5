import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import type { SignetError } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import { type Database, openDatabase } from './database.ts';
import { Engine, type Job } from './engine.ts';
import { MarkKeeper, markIn, refuseOlder } from './mark.ts';
import type { WorkerError, WorkerMessage, WorkerRequest, WorkerStart } from './protocol.ts';

/** Most requests that share one transaction. */
const MAX_GROUP = 256;

/** Thread that owns the database, so that an fsync never holds the event loop of the server. */
async function serve(port: MessagePort, start: WorkerStart): Promise<void> {
  const send = (message: WorkerMessage): void => port.postMessage(message);
  const opened = await open(start);
  if (!opened.ok) {
    send({ kind: 'refused', error: toWorkerError(opened.error) });
    port.close();
    return;
  }
  const { db, mark } = opened.value;
  const engine = new Engine(db, start, () => send({ kind: 'wake' }), mark);
  port.on('message', (first: WorkerRequest) => {
    const requests = [first, ...waiting(port)];
    engine.run(requests.flatMap((request) => ('id' in request ? [toJob(request, send)] : [])));
    if (requests.some((request) => request.op === 'close')) {
      engine.close();
      void mark.flush().then(() => port.close());
    }
  });
  send({ kind: 'ready' });
}

/** The database, and what an older copy of it will be known by. */
async function open(start: WorkerStart): Promise<Result<{ db: Database; mark: MarkKeeper }>> {
  const opened = openDatabase(start.path, start.trustDomain);
  if (!opened.ok) return opened;
  const db = opened.value;
  const found = markIn(db);
  const newer = await refuseOlder(start.path, found);
  if (!newer.ok) {
    db.close();
    return newer;
  }
  const mark = new MarkKeeper(start.path, found);
  await mark.flush();
  return ok({ db, mark });
}

/** What came in while the last transaction was being made durable. */
function waiting(port: MessagePort): readonly WorkerRequest[] {
  const requests: WorkerRequest[] = [];
  while (requests.length < MAX_GROUP - 1) {
    const next = receiveMessageOnPort(port);
    if (next === undefined) break;
    requests.push(next.message);
  }
  return requests;
}

function toJob(
  { id, op, args }: Exclude<WorkerRequest, { op: 'close' }>,
  send: (message: WorkerMessage) => void,
): Job {
  return {
    op,
    args,
    answer: (result: Result<unknown>) =>
      send(
        result.ok
          ? { kind: 'answer', id, answer: result.value }
          : { kind: 'failed', id, error: toWorkerError(result.error) },
      ),
  };
}

function toWorkerError(error: SignetError): WorkerError {
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { code: error.code, message: error.message, details: error.details, cause };
}

if (parentPort !== null) void serve(parentPort, workerData);
