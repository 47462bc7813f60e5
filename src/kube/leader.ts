import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';

import type { Logger } from '../runtime/log.ts';
import type { KubeApi } from './kube-api.ts';
import { type KubeObjects, kubeObjects } from './kube-objects.ts';
import { type KubeObject, metaOf, numberAt, objectAt, textAt } from './objects.ts';
import type { KubeName } from './resource.ts';

/** Which lease is stood for, and by whom. */
export interface LeaderOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly name: string;
  /** Of this process; no other may have it, such as a pod's name with its uid. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** How long others leave a lease alone that is not renewed, in milliseconds; 15 s unless told. */
  readonly leaseMs?: number | undefined;
  /** How long a leader stays one that cannot renew; shorter than the lease, 10 s unless told. */
  readonly renewMs?: number | undefined;
  /** Between two looks at a lease that is not ours, or could not be renewed; 2 s unless told. */
  readonly retryMs?: number | undefined;
}

/** Stands for a lease of Kubernetes (coordination.k8s.io/v1), so that one of several processes acts. */
export interface LeaderElection {
  /**
   * Whether this process leads now. It is no more before another can take the lease, by the lease's own
   * time and whether or not the API server answers. Ask before each act that only a leader may do.
   */
  isLeader(): boolean;
  /** Aborts when this leadership ends; undefined where this process does not lead. */
  readonly term: AbortSignal | undefined;
  /** Tells when it begins and ends to lead; answers with the end of that. */
  onChange(listener: (leader: boolean) => void): () => void;
  /** Gives the lease back, so that another need not wait. */
  stop(): Promise<void>;
}

/** Begins to stand for the lease. */
export function startLeaderElection(options: LeaderOptions): LeaderElection {
  return new Election(options);
}

const LEASES = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };

/** Part of the time that a renewal is good for after which the next is sent: two more tries are left. */
const RENEW_AFTER = 0.4;

/** Between two warnings of one problem that lasts. */
const TELL_AGAIN_MS = 60_000;

/** Two readings of one moment: neither a halt of the machine nor a set clock fools both. */
interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

class Election implements LeaderElection {
  readonly #options: LeaderOptions;
  readonly #objects: KubeObjects;
  readonly #lease: KubeName;
  readonly #listeners = new Set<(leader: boolean) => void>();
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  readonly #retryMs: number;
  /** When the renewal was sent that holds now: others count from later on. */
  #renewedAt: Moment | undefined;
  #term: AbortController | undefined;
  #fence: Cancel = () => {};
  /** The lease as this process wrote it last, for as long as it leads. */
  #held: KubeObject | undefined;
  /** Whether the last look renewed the lease. */
  #isFresh = false;
  /** What kept it from the lease last, until that is written again, and when that was told. */
  #problem: { readonly code: string; readonly toldAtMs: number } | undefined;
  /** The lease as it was seen last, and since when it has not changed, by our own clock. */
  #seen: { readonly version: string; readonly atMs: number } | undefined;

  constructor(options: LeaderOptions) {
    const { api, namespace, name, leaseMs, renewMs, retryMs } = options;
    this.#options = options;
    this.#objects = kubeObjects(api);
    this.#lease = { ...LEASES, namespace, name };
    this.#leaseMs = leaseMs ?? 15_000;
    this.#renewMs = Math.min(renewMs ?? 10_000, this.#leaseMs);
    this.#retryMs = retryMs ?? 2_000;
    this.#running = this.#run();
  }

  isLeader(): boolean {
    if (this.#term === undefined || this.#renewedAt === undefined) return false;
    const { monotonicMs, wallMs } = this.#now();
    // The monotonic clock stands still while a machine sleeps, the wall clock may be set back.
    const agedMs = Math.max(
      monotonicMs - this.#renewedAt.monotonicMs,
      wallMs - this.#renewedAt.wallMs,
    );
    if (agedMs < this.#renewMs) return true;
    this.#ended('not renewed in time');
    return false;
  }

  get term(): AbortSignal | undefined {
    return this.isLeader() ? this.#term?.signal : undefined;
  }

  onChange(listener: (leader: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    if (this.isLeader()) await this.#release();
    this.#listeners.clear();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#look();
      if (!signal.aborted) await this.#pause();
    }
  }

  /** Takes or renews the lease, where that is ours to do. */
  async #look(): Promise<void> {
    this.#isFresh = false;
    // Who leads knows how the lease stands: one call renews it, unless somebody wrote to it.
    const held = this.isLeader() ? this.#held : undefined;
    if (held === undefined || (await this.#write(held)) === 'conflict') await this.#read();
  }

  async #read(): Promise<void> {
    const read = await this.#objects.read(this.#lease, this.#stopped.signal);
    if (this.#stopped.signal.aborted) return;
    if (!read.ok) {
      if (read.error.code === 'KUBE_NOT_FOUND') await this.#create();
      else this.#warn(read.error);
      return;
    }
    // Where somebody is faster, who holds it is read at the next look, and the fence holds until then.
    if (this.#mayTake(read.value)) await this.#write(read.value);
  }

  #mayTake(lease: KubeObject): boolean {
    const holder = textAt(lease, 'spec', 'holderIdentity') ?? '';
    const { resourceVersion: version } = metaOf(lease);
    const { monotonicMs: atMs } = this.#now();
    if (this.#seen?.version !== version) this.#seen = { version, atMs };
    if (holder === this.#options.identity) return true;
    this.#ended('another holds the lease');
    if (holder === '') return true;
    // Counted from when we saw it last change: the clocks of two machines need not agree.
    const seconds = numberAt(lease, 'spec', 'leaseDurationSeconds') ?? 0;
    return atMs - this.#seen.atMs >= Math.max(seconds * 1000, this.#leaseMs);
  }

  async #create(): Promise<void> {
    const sentAt = this.#now();
    const { namespace, name } = this.#lease;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: this.#specOf({}, 0),
    };
    const made = await this.#objects.create(this.#lease, body, this.#stopped.signal);
    if (made.ok) this.#renewed(sentAt, made.value);
    else this.#warn(made.error);
  }

  async #write(lease: KubeObject): Promise<'conflict' | undefined> {
    const sentAt = this.#now();
    const before = objectAt(lease, 'spec') ?? {};
    const own = textAt(before, 'holderIdentity') === this.#options.identity;
    const transitions = (numberAt(before, 'leaseTransitions') ?? 0) + (own ? 0 : 1);
    const spec = this.#specOf(own ? before : {}, transitions);
    // The version that was read goes along: of two that try at once, one gets a conflict.
    const body = { ...lease, spec };
    const done = await this.#objects.replace(this.#lease, body, this.#stopped.signal);
    if (done.ok) this.#renewed(sentAt, done.value);
    else if (done.error.code === 'KUBE_CONFLICT') return 'conflict';
    else this.#warn(done.error);
    return undefined;
  }

  #specOf(before: KubeObject, transitions: number): object {
    const now = microTime(this.#options.clock.nowMs());
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
      acquireTime: textAt(before, 'acquireTime') ?? now,
      renewTime: now,
      leaseTransitions: transitions,
    };
  }

  #renewed(sentAt: Moment, lease: KubeObject): void {
    const { clock, log } = this.#options;
    const { resourceVersion: version } = metaOf(lease);
    this.#seen = { version, atMs: sentAt.monotonicMs };
    if (this.#stopped.signal.aborted && this.#term === undefined) return;
    // Judged by what held before: an answer that was late begins a new term, it revives none.
    const led = this.isLeader();
    this.#renewedAt = sentAt;
    this.#held = lease;
    this.#isFresh = true;
    this.#problem = undefined;
    this.#fence();
    const leftMs = sentAt.monotonicMs + this.#renewMs - clock.monotonicMs();
    this.#fence = clock.after(leftMs, () => void this.isLeader());
    if (led) return;
    this.#term = new AbortController();
    if (!this.isLeader()) return;
    log.info({ lease: this.#lease.name }, 'leads');
    this.#tell(true);
  }

  #ended(why: string): void {
    if (this.#term === undefined) return;
    const term = this.#term;
    this.#term = undefined;
    this.#renewedAt = undefined;
    this.#held = undefined;
    this.#fence();
    this.#options.log.warn({ lease: this.#lease.name, why }, 'leads no more');
    term.abort();
    this.#tell(false);
  }

  async #release(): Promise<void> {
    const term = this.#term;
    const read = await this.#objects.read(this.#lease);
    // Before the lease is free for others.
    this.#ended('stopped');
    if (!read.ok || term === undefined) return;
    if (textAt(read.value, 'spec', 'holderIdentity') !== this.#options.identity) return;
    const spec = { ...objectAt(read.value, 'spec'), holderIdentity: '', leaseDurationSeconds: 1 };
    // Where it fails, the lease runs out by itself.
    await this.#objects.replace(this.#lease, { ...read.value, spec });
  }

  async #pause(): Promise<void> {
    const { clock, random } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waitMs = this.#isFresh ? this.#renewMs * RENEW_AFTER : this.#retryMs;
    // Up to a fifth longer, so that several do not look at the same moment for ever.
    const cancel = clock.after(waitMs * (1 + randomFraction(random) / 5), resolve);
    this.#stopped.signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    cancel();
  }

  /** A problem is told when it begins, and once a minute while it lasts: it is met every two seconds. */
  #warn({ code, message: reason, action }: SignetError): void {
    const { monotonicMs: atMs } = this.#now();
    const told = this.#problem;
    if (told?.code === code && atMs - told.toldAtMs < TELL_AGAIN_MS) return;
    this.#problem = { code, toldAtMs: atMs };
    const facts = { lease: this.#lease.name, code, reason, action };
    this.#options.log.warn(facts, 'the lease is out of reach');
  }

  #tell(leader: boolean): void {
    for (const listener of this.#listeners) listener(leader);
  }

  #now(): Moment {
    const { clock } = this.#options;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
  }
}

/** Kubernetes' MicroTime: RFC 3339 with six digits after the point. */
function microTime(nowMs: number): string {
  return new Date(nowMs).toISOString().replace('Z', '000Z');
}
