import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { workerUrl } from '../../runtime/worker-url.ts';
import type { PacedCalls } from '../outside/paced-calls.ts';
import { tokenFault } from './pkcs11-faults.ts';
import type {
  FromThread,
  TokenKey,
  TokenPlace,
  TokenRequest,
  ToThread,
} from './pkcs11-protocol.ts';

type Settle = (answer: Result<unknown>) => void;

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Settle>;
}

/** Threads that call a PKCS#11 library in turn, each with a session of its own; paced like all calls. */
export class TokenThreads {
  readonly #place: TokenPlace;
  readonly #paced: PacedCalls;
  readonly #threads: (Thread | undefined)[];
  #lastJob = 0;

  constructor(place: TokenPlace, paced: PacedCalls, count: number) {
    this.#place = place;
    this.#paced = paced;
    this.#threads = Array.from({ length: count }, () => undefined);
  }

  /** Every key pair of the token. */
  async find(): Promise<Result<readonly TokenKey[]>> {
    const answer = await this.#call({ kind: 'find' });
    // What the thread says was made by our own code there.
    return answer.ok ? ok(answer.value as readonly TokenKey[]) : answer;
  }

  async generate(
    request: Omit<TokenRequest & { kind: 'generate' }, 'kind'>,
  ): Promise<Result<TokenKey>> {
    const answer = await this.#call({ kind: 'generate', ...request });
    // As above.
    return answer.ok ? ok(answer.value as TokenKey) : answer;
  }

  async sign(request: Omit<TokenRequest & { kind: 'sign' }, 'kind'>): Promise<Result<Uint8Array>> {
    const answer = await this.#call({ kind: 'sign', ...request });
    // As above.
    return answer.ok ? ok(answer.value as Uint8Array) : answer;
  }

  async destroy({ handle, publicHandle }: TokenKey): Promise<Result<void>> {
    const answer = await this.#call({ kind: 'destroy', handles: [handle, publicHandle] });
    return answer.ok ? ok(undefined) : answer;
  }

  /** CKA_IDs of the HMAC keys with a label. */
  async findSecrets(label: string): Promise<Result<readonly Uint8Array[]>> {
    const answer = await this.#call({ kind: 'find-secrets', label });
    // As above.
    return answer.ok ? ok(answer.value as readonly Uint8Array[]) : answer;
  }

  /** Makes an HMAC key that never leaves the token. */
  async generateSecret(
    request: Omit<TokenRequest & { kind: 'generate-secret' }, 'kind'>,
  ): Promise<Result<void>> {
    const answer = await this.#call({ kind: 'generate-secret', ...request });
    return answer.ok ? ok(undefined) : answer;
  }

  /** HMAC-SHA-256, 32 bytes. */
  async mac(request: Omit<TokenRequest & { kind: 'mac' }, 'kind'>): Promise<Result<Uint8Array>> {
    const answer = await this.#call({ kind: 'mac', ...request });
    // As above.
    return answer.ok ? ok(answer.value as Uint8Array) : answer;
  }

  /** Ends the sessions and the threads. */
  async close(): Promise<void> {
    await Promise.all(
      this.#threads.map(async (thread) => {
        if (thread === undefined) return;
        const gone = once(thread.worker, 'exit');
        thread.worker.postMessage('close');
        await gone;
      }),
    );
  }

  #call(request: TokenRequest): Promise<Result<unknown>> {
    const made = request.kind === 'generate' || request.kind === 'generate-secret';
    return this.#paced.run<unknown>({
      operation: request.kind,
      attempt: () => this.#send(request),
      // Making a key takes as long as it takes, and is not begun twice.
      ...(made ? { repeatOn: [], unhurried: true } : {}),
    });
  }

  #send(request: TokenRequest): Promise<Result<unknown>> {
    this.#lastJob += 1;
    const job = this.#lastJob;
    const index = job % this.#threads.length;
    const thread = this.#threads[index] ?? this.#start(index);
    return new Promise((resolve) => {
      thread.waiting.set(job, resolve);
      const message: ToThread = { job, request };
      thread.worker.postMessage(message);
    });
  }

  #start(index: number): Thread {
    const worker = new Worker(workerUrl('pkcs11-worker', import.meta.url), {
      name: 'pkcs11',
      workerData: this.#place,
    });
    const thread: Thread = { worker, waiting: new Map() };
    const settle = (job: number, answer: Result<unknown>): void => {
      thread.waiting.get(job)?.(answer);
      thread.waiting.delete(job);
    };
    worker.on('message', (message: FromThread) =>
      settle(message.job, 'fault' in message ? tokenFault(message.fault) : ok(message.value)),
    );
    const end = (refusal: Failed): void => {
      if (this.#threads[index] === thread) this.#threads[index] = undefined;
      for (const job of [...thread.waiting.keys()]) settle(job, refusal);
    };
    worker.on('error', (cause) =>
      end(fail('KEY_MANAGER_FAULT', 'the thread of the PKCS#11 library ended', { cause })),
    );
    worker.on('exit', () => end(fail('KEY_MANAGER_FAULT', 'the PKCS#11 thread has ended')));
    this.#threads[index] = thread;
    return thread;
  }
}
