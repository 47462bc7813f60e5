import { BackOff } from '../../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../../src/base/clock.ts';
import { type SignetError, toSignetError } from '../../../src/base/errors.ts';
import type { Random } from '../../../src/base/random.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import type { POD_SOURCES } from '../settings.ts';
import type { NodePod } from './node-pod.ts';
import type { Demand, PodIndex } from './pod-index.ts';

/** A way to the pods of this node. */
export type PodSourceName = (typeof POD_SOURCES)[number];

/** One way to the pods of this node. */
export interface PodSource {
  readonly name: PodSourceName;
  /**
   * Tells the sink which pods there are, `replace` first, until it cannot or the signal aborts. Answers
   * why it ended. Errors: AGENT_POD_SOURCE, KUBE_*.
   */
  run(sink: PodSink, signal: AbortSignal): Promise<SignetError>;
}

/** Where a source tells its pods. */
export interface PodSink {
  /** All pods there are. */
  replace(pods: readonly NodePod[]): void;
  put(pod: NodePod): void;
  remove(uid: string): void;
  /** What keeps the source from hearing of changes; undefined when it hears again. */
  problem(error: SignetError | undefined): void;
  readonly demand: Demand;
}

/** What the choice among sources needs. */
export interface PodSourceParts {
  /** The best first. */
  readonly sources: readonly PodSource[];
  readonly index: PodIndex;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly onFailure: (source: PodSourceName) => void;
}

/** A source that failed is tried again after so long, at first and at last. */
const RETRY = { firstMs: 1000, maxMs: 60_000 };

interface Run {
  readonly stop: AbortController;
}

/**
 * Keeps the index full from the best source that works. When one fails the next takes its place, and
 * when a better one works again it takes over; each begins with all its pods, so that nothing is lost in
 * between. What the index held stays until then.
 */
export class PodSources {
  readonly #parts: PodSourceParts;
  readonly #runs = new Map<number, Run>();
  readonly #retries = new Map<number, Cancel>();
  readonly #backOffs: readonly BackOff[];
  readonly #lastCodes = new Map<number, string>();
  #active: number | undefined;
  #problem: SignetError | undefined;
  #everCurrent = false;
  #lostAtMs: number | undefined;
  #stopped = false;

  constructor(parts: PodSourceParts) {
    this.#parts = parts;
    this.#backOffs = parts.sources.map(() => new BackOff(RETRY, parts.random));
  }

  /** The source in use. */
  get active(): PodSourceName | undefined {
    return this.#active === undefined ? undefined : this.#parts.sources[this.#active]?.name;
  }

  /** Why no source, or the one in use, hears of changes now. */
  get problem(): SignetError | undefined {
    return this.#problem;
  }

  /** For how long nothing was heard of changes; 0 while they are, undefined before the first pods. */
  get ageMs(): number | undefined {
    if (!this.#everCurrent) return undefined;
    return this.#lostAtMs === undefined ? 0 : this.#parts.clock.monotonicMs() - this.#lostAtMs;
  }

  start(): void {
    this.#launch(0);
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#retries.values()) cancel();
    for (const { stop } of this.#runs.values()) stop.abort();
  }

  #launch(rank: number): void {
    const source = this.#parts.sources[rank];
    if (source === undefined || this.#stopped || this.#runs.has(rank)) return;
    if (this.#active !== undefined && this.#active < rank) return;
    const run = { stop: new AbortController() };
    this.#runs.set(rank, run);
    void this.#follow(source, rank, run);
  }

  async #follow(source: PodSource, rank: number, run: Run): Promise<void> {
    const { signal } = run.stop;
    try {
      const error = await source.run(this.#sink(rank, run), signal);
      this.#ended(rank, run, error);
    } catch (thrown) {
      this.#ended(rank, run, toSignetError(thrown, `reading pods by ${source.name}`));
    }
  }

  #sink(rank: number, run: Run): PodSink {
    const { index } = this.#parts;
    const inUse = (): boolean => this.#active === rank && this.#runs.get(rank) === run;
    return {
      demand: index,
      replace: (pods) => {
        if (this.#runs.get(rank) !== run) return;
        this.#take(rank);
        index.replace(pods);
      },
      put: (pod) => {
        if (inUse()) index.put(pod);
      },
      remove: (uid) => {
        if (inUse()) index.remove(uid);
      },
      problem: (error) => {
        if (inUse()) this.#note(error);
      },
    };
  }

  /** The source works: those below it are let go. */
  #take(rank: number): void {
    this.#note(undefined);
    this.#backOffs[rank]?.reset();
    this.#lastCodes.delete(rank);
    if (this.#active === rank) return;
    this.#active = rank;
    for (const [other, run] of this.#runs) {
      if (other <= rank) continue;
      this.#runs.delete(other);
      run.stop.abort();
    }
    this.#parts.log.info({ source: this.active }, 'pods are read from another source');
  }

  #ended(rank: number, run: Run, error: SignetError): void {
    if (this.#stopped || this.#runs.get(rank) !== run) return;
    const { clock, log, onFailure, sources } = this.#parts;
    const source = sources[rank]?.name;
    this.#runs.delete(rank);
    if (source !== undefined) onFailure(source);
    if (this.#lastCodes.get(rank) !== error.message) {
      // Once for each reason: a source that this cluster does not have is tried for ever.
      this.#lastCodes.set(rank, error.message);
      log.warn({ source, code: error.code, reason: error.message }, 'pods cannot be read');
    }
    if (this.#active === rank) this.#active = undefined;
    if (this.#active === undefined) this.#note(error);
    this.#retries.get(rank)?.();
    const waitMs = this.#backOffs[rank]?.next() ?? RETRY.maxMs;
    this.#retries.set(
      rank,
      clock.after(waitMs, () => {
        this.#retries.delete(rank);
        this.#launch(rank);
      }),
    );
    if (this.#active === undefined) this.#launchNext(rank);
  }

  /** The next source below that is not waiting for its own next try. */
  #launchNext(rank: number): void {
    const { sources } = this.#parts;
    const next = sources.findIndex((_, other) => other > rank && !this.#retries.has(other));
    if (next !== -1) this.#launch(next);
  }

  #note(problem: SignetError | undefined): void {
    if (problem !== undefined) this.#lostAtMs ??= this.#parts.clock.monotonicMs();
    else {
      this.#everCurrent = true;
      this.#lostAtMs = undefined;
    }
    this.#problem = problem;
  }
}
