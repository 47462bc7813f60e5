import type { X509Authority } from '../authority/authority.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import { fail, type Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { FairQueue } from './fair-queue.ts';
import type { LeafOrder } from './leaf.ts';
import { packOrders } from './packing.ts';
import { type Outcomes, SignThread } from './sign-thread.ts';
import type { DraftBatch, Workshop } from './workshop.ts';

/** What a pool of signing threads stands on. */
export interface SignPoolOptions {
  /** Most threads, at least 1. */
  readonly threads: number;
  /** CSRs that may wait; a quarter of it for one lane. */
  readonly maxQueued: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keys that no leaf is signed for. */
  readonly blockedKeys: BlockedKeys;
}

/** Orders in one message: enough that the message costs little, few enough to take fair turns. */
const MIN_CHUNK = 16;
const MAX_CHUNK = 64;
/** Messages that a thread may have before it: one in work, the others so that it never waits. */
const MAX_LOAD = 3;
const MAX_RESTART_MS = 5000;

/** A chunk that waits for a thread. */
interface Waiting {
  readonly start: (thread: SignThread) => void;
  readonly refuse: (code: PoolRefusal) => void;
}

/** What one thread did with one chunk. */
interface Piece {
  readonly size: number;
  readonly outcomes: Outcomes;
  /** Undefined where no thread came to it. */
  readonly thread: SignThread | undefined;
  /** Name of the drafts in that thread. */
  readonly drafts: number;
}

/** Sends a chunk to a thread. */
type Send = (
  thread: SignThread,
  orders: ArrayBuffer,
) => { readonly drafts: number; readonly outcomes: Promise<Outcomes> };

/**
 * A workshop of threads, started as work comes. A batch is cut into chunks that idle threads share;
 * chunks of different lanes take turns. What a thread drafted, that thread signs.
 */
export class SignPool implements Workshop {
  readonly #options: SignPoolOptions;
  readonly #queue: FairQueue<Waiting>;
  readonly #threads = new Set<SignThread>();
  #failedStarts = 0;
  #cancelRestart: Cancel | undefined;
  #closed = false;

  constructor(options: SignPoolOptions) {
    this.#options = options;
    const { maxQueued } = options;
    this.#queue = new FairQueue({ total: maxQueued, perLane: Math.ceil(maxQueued / 4) });
  }

  /** CSRs that wait or are being drafted. */
  get queued(): number {
    return this.#queue.total;
  }

  async draft(
    orders: readonly LeafOrder[],
    authority: X509Authority,
    lane: string,
  ): Promise<DraftBatch> {
    const pieces = await this.#share(orders, lane, (thread, chunk) =>
      thread.draft(authority, chunk),
    );
    return {
      tbsHashes: pieces.flatMap(spread),
      sign: async () => (await Promise.all(pieces.map(signPiece))).flatMap(spread),
      discard: () => {
        for (const { thread, drafts } of pieces) thread?.discard(drafts);
      },
    };
  }

  /** Step 1 alone: the keys that CSRs prove, as SubjectPublicKeyInfo DER. */
  async check(orders: readonly LeafOrder[], lane: string): Promise<readonly Result<Uint8Array>[]> {
    const pieces = await this.#share(orders, lane, (thread, chunk) => ({
      drafts: 0,
      outcomes: thread.check(chunk),
    }));
    return pieces.flatMap(spread);
  }

  /** Refuses what waits and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRestart?.();
    this.#refuseWaiting();
    await Promise.all([...this.#threads].map((thread) => thread.close()));
  }

  async #share(orders: readonly LeafOrder[], lane: string, send: Send): Promise<readonly Piece[]> {
    if (this.#closed) return [untouched(orders.length, 'ISSUANCE_CLOSED')];
    if (!this.#queue.reserve(lane, orders.length)) {
      return [untouched(orders.length, 'ISSUANCE_OVERLOADED')];
    }
    const count = Math.ceil(orders.length / this.#chunkSize(orders.length));
    const pieces = Array.from({ length: count }, (_, index) => {
      const start = Math.round((index * orders.length) / count);
      const end = Math.round(((index + 1) * orders.length) / count);
      return this.#enqueue(orders.slice(start, end), lane, send);
    });
    this.#pump();
    const done = await Promise.all(pieces);
    this.#queue.release(lane, orders.length);
    return done;
  }

  /** Threads that have nothing to do share a batch; where all are busy, fewer messages are cheaper. */
  #chunkSize(size: number): number {
    let idle = this.#options.threads;
    for (const thread of this.#threads) if (thread.load > 0) idle -= 1;
    return Math.min(MAX_CHUNK, Math.max(MIN_CHUNK, Math.ceil(size / Math.max(1, idle))));
  }

  #enqueue(orders: readonly LeafOrder[], lane: string, send: Send): Promise<Piece> {
    const size = orders.length;
    return new Promise((resolve) => {
      this.#queue.push(lane, {
        start: (thread) => {
          const { drafts, outcomes } = send(thread, packOrders(orders));
          void outcomes.then((answered) => {
            resolve({ size, outcomes: answered, thread, drafts });
          });
        },
        refuse: (code) => resolve(untouched(size, code)),
      });
    });
  }

  /** Gives waiting chunks to threads that have room, the least loaded first. */
  #pump(): void {
    while (!this.#queue.isIdle) {
      const thread = this.#threadWithRoom();
      if (thread === undefined) return;
      this.#queue.take()?.start(thread);
    }
  }

  #threadWithRoom(): SignThread | undefined {
    let best: SignThread | undefined;
    for (const thread of this.#threads) {
      if (best === undefined || thread.load < best.load) best = thread;
    }
    if (best !== undefined && (best.load === 0 || this.#threads.size >= this.#options.threads)) {
      return best.load < MAX_LOAD ? best : undefined;
    }
    return this.#startThread();
  }

  #startThread(): SignThread | undefined {
    if (this.#closed || this.#cancelRestart !== undefined) return undefined;
    const { blockedKeys } = this.#options;
    const events = {
      onAnswer: () => this.#pump(),
      onEnd: (cause: unknown) => this.#onEnd(thread, cause),
    };
    const thread: SignThread = new SignThread(events, { blockedKeys });
    this.#threads.add(thread);
    return thread;
  }

  #onEnd(thread: SignThread, cause: unknown): void {
    this.#threads.delete(thread);
    this.#options.log.error({ err: cause }, 'signing thread ended');
    this.#failedStarts = thread.hasAnswered ? 0 : this.#failedStarts + 1;
    if (this.#failedStarts === 0) {
      this.#pump();
      return;
    }
    // Threads that end before they answer would be started for ever: wait, and keep nobody waiting.
    this.#refuseWaiting();
    const delayMs = Math.min(MAX_RESTART_MS, 100 * 2 ** this.#failedStarts);
    this.#cancelRestart?.();
    this.#cancelRestart = this.#options.clock.after(delayMs, () => {
      this.#cancelRestart = undefined;
      this.#pump();
    });
  }

  #refuseWaiting(): void {
    const code = this.#closed ? 'ISSUANCE_CLOSED' : 'ISSUANCE_WORKER_LOST';
    for (let work = this.#queue.take(); work !== undefined; work = this.#queue.take()) {
      work.refuse(code);
    }
  }
}

type PoolRefusal = 'ISSUANCE_CLOSED' | 'ISSUANCE_OVERLOADED' | 'ISSUANCE_WORKER_LOST';

const REFUSALS: Readonly<Record<PoolRefusal, string>> = {
  ISSUANCE_CLOSED: 'the server is stopping',
  ISSUANCE_OVERLOADED: 'too many certificates wait to be signed',
  ISSUANCE_WORKER_LOST: 'signing threads end before they answer',
};

function untouched(size: number, code: PoolRefusal): Piece {
  return { size, outcomes: fail(code, REFUSALS[code]), thread: undefined, drafts: 0 };
}

async function signPiece(piece: Piece): Promise<Piece> {
  const { thread, drafts, outcomes } = piece;
  if (thread === undefined || !outcomes.ok) return piece;
  return { ...piece, outcomes: await thread.sign(drafts) };
}

/** One outcome for each order of a piece; never more or fewer, which would shift those after it. */
function spread({ size, outcomes }: Piece): readonly Result<Uint8Array>[] {
  if (outcomes.ok && outcomes.value.length === size) return outcomes.value;
  const refusal = outcomes.ok ? fail('ISSUANCE_MISMATCH', 'a chunk came back in part') : outcomes;
  return Array.from({ length: size }, () => refusal);
}
