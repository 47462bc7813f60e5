import { Worker } from 'node:worker_threads';
import type { X509Authority } from '../authority/authority.ts';
import { type Failed, fail, type Result } from '../base/result.ts';
import { workerUrl } from '../runtime/worker-url.ts';
import { unpackOutcomes } from './packing.ts';
import type { FromWorker, SignWorkerData, ToWorker } from './worker-protocol.ts';

/** Outcomes of one message, in order; or the one refusal that stands for all of them. */
export type Outcomes = Result<readonly Result<Uint8Array>[]>;

/** What a signing thread tells its pool. */
export interface SignThreadEvents {
  /** One message less is before it. */
  readonly onAnswer: () => void;
  /** It ended by itself; what waited was refused before. Called once. */
  readonly onEnd: (cause: unknown) => void;
}

/** One signing thread, seen from the main thread. Ends once: with the thread, or by `close`. */
export class SignThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (outcomes: Outcomes) => void>();
  readonly #events: SignThreadEvents;
  #authority: X509Authority | undefined;
  #lastJob = 0;
  #ended = false;
  /** Whether it ever answered; one that did not may never. */
  hasAnswered = false;

  constructor(events: SignThreadEvents, workerData: SignWorkerData) {
    this.#events = events;
    this.#worker = new Worker(workerUrl('sign-worker', import.meta.url), {
      name: 'sign',
      workerData,
      // Leaves are short-lived garbage of some KiB: a small young generation keeps the cache warm.
      resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 64 },
    });
    this.#worker.on('message', (message: FromWorker) => this.#settle(message));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', (exitCode) => this.#end(`exit code ${exitCode}`));
  }

  /** Number of messages that are not answered yet. */
  get load(): number {
    return this.#waiting.size;
  }

  /** Steps 1 and 2; the number names the drafts for {@link sign} and {@link discard}. */
  draft(
    authority: X509Authority,
    orders: ArrayBuffer,
  ): { readonly drafts: number; readonly outcomes: Promise<Outcomes> } {
    if (authority !== this.#authority) this.#announce(authority);
    const job = this.#nextJob();
    return { drafts: job, outcomes: this.#ask(job, { kind: 'draft', job, orders }, [orders]) };
  }

  /** Step 1 alone. */
  check(orders: ArrayBuffer): Promise<Outcomes> {
    const job = this.#nextJob();
    return this.#ask(job, { kind: 'check', job, orders }, [orders]);
  }

  /** Step 4 for drafts of this thread. */
  sign(drafts: number): Promise<Outcomes> {
    const job = this.#nextJob();
    return this.#ask(job, { kind: 'sign', job, drafts }, []);
  }

  /** Forgets drafts unsigned. */
  discard(drafts: number): void {
    if (!this.#ended) this.#post({ kind: 'discard', drafts }, []);
  }

  /** Ends the thread; what waits is refused with ISSUANCE_CLOSED. */
  async close(): Promise<void> {
    this.#refuseAll(fail('ISSUANCE_CLOSED', 'the server is stopping'));
    this.#ended = true;
    await this.#worker.terminate();
  }

  #announce(authority: X509Authority): void {
    const { slot, type: keyType } = authority.key;
    const pkcs8 = authority.key.exportPkcs8();
    if (pkcs8 === undefined) throw new TypeError('a signing thread needs a local key');
    const { crlPoints } = authority;
    const certificate = authority.certificate.der;
    this.#post({ kind: 'authority', slot, keyType, pkcs8, certificate, crlPoints }, []);
    pkcs8.fill(0);
    this.#authority = authority;
  }

  #ask(job: number, message: ToWorker, transfer: ArrayBuffer[]): Promise<Outcomes> {
    if (this.#ended) return Promise.resolve(lost());
    return new Promise((resolve) => {
      this.#waiting.set(job, resolve);
      this.#post(message, transfer);
    });
  }

  #post(message: ToWorker, transfer: ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer);
  }

  #settle({ job, outcomes }: FromWorker): void {
    this.hasAnswered = true;
    const resolve = this.#waiting.get(job);
    this.#waiting.delete(job);
    resolve?.({ ok: true, value: unpackOutcomes(outcomes) });
    this.#events.onAnswer();
  }

  #end(cause: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#refuseAll(lost());
    this.#events.onEnd(cause);
  }

  #refuseAll(refusal: Failed): void {
    for (const resolve of this.#waiting.values()) resolve(refusal);
    this.#waiting.clear();
  }

  #nextJob(): number {
    this.#lastJob += 1;
    return this.#lastJob;
  }
}

function lost(): Failed {
  return fail('ISSUANCE_WORKER_LOST', 'the signing thread ended before it answered');
}
