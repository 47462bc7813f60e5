import { BackOff } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import { type SignetError, toSignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { KubeApi } from './kube-api.ts';
import type { KubeMetrics } from './metrics.ts';
import { type KubeChange, ObjectCache } from './object-cache.ts';
import {
  type KubeObject,
  keyOf,
  metaOf,
  numberAt,
  objectAt,
  objectsAt,
  textAt,
} from './objects.ts';
import { type KubeResource, pathOf } from './resource.ts';
import { refusedBy } from './status.ts';

/** What is watched, and what of it is kept. */
export interface KubeWatchOptions<T> {
  readonly api: KubeApi;
  readonly resource: KubeResource;
  /** Such as `spec.nodeName=node-1`. */
  readonly fieldSelector?: string | undefined;
  readonly labelSelector?: string | undefined;
  /** What is kept of an object; undefined where it is not wanted. */
  readonly project: (object: KubeObject) => T | undefined;
  /** Objects of one page of a list; 25 unless told. */
  readonly pageSize?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: KubeMetrics | undefined;
}

/**
 * Objects of one kind, held as they stand in the cluster: listed by pages, then watched. After a fault it
 * goes on from the last version seen, or lists anew where that is gone; until then what is held may be
 * old. At rest it costs a connection.
 */
export interface KubeWatch<T> {
  /** Whether the first list is complete; stays true whatever happens later. */
  readonly synced: boolean;
  /** Why the cluster is not being listened to right now. */
  readonly problem: SignetError | undefined;
  readonly size: number;
  /** For how long the cluster has not been listened to, in milliseconds; 0 while it is. */
  readonly staleMs: number;
  /** Answers when the first list is complete, or the watch was stopped. */
  whenSynced(): Promise<void>;
  /** What is held under `namespace/name`, or a name alone for objects of the cluster. */
  get(key: string): T | undefined;
  entries(): Iterable<readonly [string, T]>;
  /** Tells each change, at once and in order; answers with the end of that. */
  onChange(listener: (change: KubeChange<T>) => void): () => void;
  stop(): Promise<void>;
}

/** Begins to list and watch; it never ends by itself. */
export function watchKube<T>(options: KubeWatchOptions<T>): KubeWatch<T> {
  return new Watch(options);
}

const BACK_OFF = { firstMs: 500, maxMs: 30_000 };
// What one page becomes fits the server's young generation, and is gone with it. Of larger pages it is taken
// for what lasts: 10,000 pods then cost 80 MiB more until the next full collection.
const PAGE_SIZE = 25;
const LIST_TIMEOUT_MS = 60_000;
/** The server ends a watch after 5 to 10 minutes, so that watches move to where there is room. */
const WATCH_SECONDS = 300;
/** How long the server may take to agree to a watch. */
const OPEN_MS = 30_000;
/** How long after that end a watch is given up that has not ended. */
const GRACE_MS = 30_000;
/** A watch that ends sooner, without an event, is a fault. */
const SHORT_MS = 10_000;
/** Refusals of a version in a row after which it is forgotten: a restored etcd counts anew. */
const MAX_REFUSALS = 3;

class Watch<T> implements KubeWatch<T> {
  readonly #options: KubeWatchOptions<T>;
  readonly #cache: ObjectCache<T>;
  readonly #listeners = new Set<(change: KubeChange<T>) => void>();
  readonly #stopped = new AbortController();
  readonly #firstSync = Promise.withResolvers<void>();
  readonly #backOff: BackOff;
  readonly #running: Promise<void>;
  readonly #release: () => void;
  /** Where the watch goes on from; undefined before a list. */
  #version: string | undefined;
  #refusals = 0;
  #pageSize: number;
  #synced = false;
  #problem: SignetError | undefined;
  /** Since when no watch is open; undefined while one is. */
  #lostAtMs: number | undefined;

  constructor(options: KubeWatchOptions<T>) {
    const { api, resource, metrics, random } = options;
    this.#options = options;
    this.#pageSize = options.pageSize ?? PAGE_SIZE;
    this.#cache = new ObjectCache(
      (object) => this.#projected(object),
      (change) => this.#tell(change),
    );
    this.#backOff = new BackOff(BACK_OFF, random);
    this.#lostAtMs = options.clock.monotonicMs();
    this.#release = metrics?.watches(api.name, resource.plural, this) ?? (() => {});
    this.#running = this.#run();
  }

  get synced(): boolean {
    return this.#synced;
  }

  get problem(): SignetError | undefined {
    return this.#problem;
  }

  get size(): number {
    return this.#cache.size;
  }

  get staleMs(): number {
    if (this.#lostAtMs === undefined) return 0;
    return this.#options.clock.monotonicMs() - this.#lostAtMs;
  }

  whenSynced(): Promise<void> {
    return this.#firstSync.promise;
  }

  get(key: string): T | undefined {
    return this.#cache.get(key);
  }

  entries(): Iterable<readonly [string, T]> {
    return this.#cache.entries();
  }

  onChange(listener: (change: KubeChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    this.#listeners.clear();
  }

  /** A projection that fails wants nothing of the object: the others must not wait for it. */
  #projected(object: KubeObject): T | undefined {
    try {
      return this.#options.project(object);
    } catch (thrown) {
      this.#faulty(thrown, 'the projection of an object');
      return undefined;
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const turn = await this.#turn();
      if (turn.ok || signal.aborted) continue;
      this.#failed(turn.error);
      await this.#pause(turn.error);
    }
    this.#release();
    this.#firstSync.resolve();
  }

  /** One list, where it is needed, and one watch to its end. */
  async #turn(): Promise<Result<void>> {
    const path = pathOf(this.#options.resource);
    if (!path.ok) return path;
    if (this.#version === undefined) {
      const listed = await this.#list(path.value);
      if (!listed.ok) return listed;
      this.#version = listed.value;
      this.#nowSynced();
    }
    return this.#watch(path.value, this.#version);
  }

  /** Lists by pages; answers with the version to watch from. A page that is gone begins anew. */
  async #list(path: string): Promise<Result<string>> {
    const { api } = this.#options;
    const listed = new Set<string>();
    let next: string | undefined;
    for (;;) {
      const page = await api.request({
        verb: 'list',
        path,
        query: {
          ...this.#selectors(),
          limit: String(this.#pageSize),
          ...(next === undefined ? {} : { continue: next }),
        },
        timeoutMs: LIST_TIMEOUT_MS,
        signal: this.#stopped.signal,
      });
      if (!page.ok) {
        // Objects are so large that fewer fit.
        if (page.error.details.tooLong === true) this.#pageSize = Math.ceil(this.#pageSize / 8);
        return page;
      }
      for (const item of objectsAt(page.value, 'items')) listed.add(this.#cache.put(item));
      const version = textAt(page.value, 'metadata', 'resourceVersion') ?? '';
      if (version === '') return fail('KUBE_ANSWER', `${this.#doing()}: a list without a version`);
      next = textAt(page.value, 'metadata', 'continue') || undefined;
      if (next !== undefined) continue;
      this.#cache.keepOnly(listed);
      return ok(version);
    }
  }

  async #watch(path: string, version: string): Promise<Result<void>> {
    const { api, clock, random, metrics, resource } = this.#options;
    const seconds = Math.floor(WATCH_SECONDS * (1 + randomFraction(random)));
    const over = new AbortController();
    const limits = [clock.after(seconds * 1000 + GRACE_MS, () => over.abort())];
    // A server that is there agrees at once, also where nothing happens.
    const unanswered = clock.after(OPEN_MS, () => over.abort());
    limits.push(unanswered);
    const beganAtMs = clock.monotonicMs();
    let events = 0;
    const ended = await api.stream({
      path,
      query: {
        ...this.#selectors(),
        watch: '1',
        allowWatchBookmarks: 'true',
        resourceVersion: version,
        timeoutSeconds: String(seconds),
      },
      signal: AbortSignal.any([this.#stopped.signal, over.signal]),
      onOpen: () => {
        unanswered();
        this.#listening();
      },
      onEvent: (event) => {
        const taken = this.#take(event);
        if (taken.ok) events++;
        return taken;
      },
    });
    for (const cancel of limits) cancel();
    this.#lostAtMs ??= clock.monotonicMs();
    if (this.#stopped.signal.aborted) return ok(undefined);
    metrics?.watchRestarted(api.name, resource.plural, ended.ok ? 'closed' : ended.error.code);
    return this.#ended(ended, events > 0 || clock.monotonicMs() - beganAtMs >= SHORT_MS);
  }

  /** What the end of a watch means for the next. */
  #ended(result: Result<void>, worked: boolean): Result<void> {
    if (worked) this.#backOff.reset();
    if (result.ok) {
      this.#refusals = 0;
      if (worked) return result;
      return fail('KUBE_UNREACHABLE', `${this.#doing()}: the watch ended at once`);
    }
    const { code, details } = result.error;
    const told = code === 'KUBE_REFUSED' || (code === 'KUBE_UNREACHABLE' && 'status' in details);
    this.#refusals = told ? this.#refusals + 1 : 0;
    if (code === 'KUBE_GONE' || code === 'KUBE_ANSWER' || this.#refusals >= MAX_REFUSALS) {
      this.#version = undefined;
      this.#refusals = 0;
    }
    // Listing anew at once is what the server asks for; the next 410 in a row has to wait.
    return code === 'KUBE_GONE' && worked ? ok(undefined) : result;
  }

  #take(event: KubeObject): Result<void> {
    const object = objectAt(event, 'object');
    const type = textAt(event, 'type');
    if (object === undefined) return fail('KUBE_ANSWER', `${this.#doing()}: an event of nothing`);
    if (type === 'ERROR') return refusedBy(this.#doing(), numberAt(object, 'code') ?? 500, object);
    if (type === 'ADDED' || type === 'MODIFIED') this.#cache.put(object);
    else if (type === 'DELETED') this.#cache.remove(keyOf(metaOf(object)));
    else if (type !== 'BOOKMARK') return fail('KUBE_ANSWER', `${this.#doing()}: an unknown event`);
    const { resourceVersion } = metaOf(object);
    if (resourceVersion !== '') this.#version = resourceVersion;
    return ok(undefined);
  }

  #nowSynced(): void {
    if (this.#synced) return;
    this.#synced = true;
    this.#tell({ kind: 'synced' });
    this.#firstSync.resolve();
  }

  #listening(): void {
    this.#lostAtMs = undefined;
    if (this.#problem === undefined) return;
    this.#problem = undefined;
    this.#options.log.info({ watch: this.#doing() }, 'kubernetes is listened to again');
  }

  #failed(problem: SignetError): void {
    if (this.#problem?.code !== problem.code) {
      const { code, message, action } = problem;
      this.#options.log.warn({ code, reason: message, action }, 'kubernetes is not listened to');
    }
    this.#problem = problem;
  }

  async #pause({ details }: SignetError): Promise<void> {
    const { clock } = this.#options;
    const asked = typeof details.retryAfterMs === 'number' ? details.retryAfterMs : 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(Math.max(this.#backOff.next(), asked), resolve);
    const { signal } = this.#stopped;
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    cancel();
  }

  #selectors(): Readonly<Record<string, string>> {
    const { fieldSelector, labelSelector } = this.#options;
    return {
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    };
  }

  #tell(change: KubeChange<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (thrown) {
        this.#faulty(thrown, 'a listener');
      }
    }
  }

  #faulty(thrown: unknown, what: string): void {
    const { code, message, cause } = toSignetError(thrown, `${what} (${this.#doing()})`);
    this.#options.log.warn({ code, reason: message, err: cause }, 'a change was not taken');
  }

  #doing(): string {
    const { api, resource } = this.#options;
    return `watching ${resource.plural} of ${api.name}`;
  }
}
