import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { pathOf } from '../kube/resource.ts';

/** What is told of a pod, or of another object. */
export interface PodEvent {
  /** What `pod` is where it is none. */
  readonly object?: { readonly apiVersion: string; readonly kind: string } | undefined;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly type: 'Normal' | 'Warning';
  /** In one word, such as `PodCertificateIssued`. */
  readonly reason: string;
  readonly message: string;
}

/** Events that wait; what comes on top is not told. */
const MAX_WAITING = 2_000;
/** Calls at a time. */
const MAX_CALLS = 2;
/**
 * Least time of one call, in milliseconds: 20 events a second at most. An event costs the API server as much
 * as the answer that it tells of, and what a burst of requests waits for are answers.
 */
const PACE_MS = 100;

/**
 * Tells what was done for pods as events of Kubernetes, which nobody relies on: none is told twice. Refusals,
 * which somebody looks for, are told before what went well.
 */
export class PodEvents {
  readonly #api: Pick<KubeApi, 'request'>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #warnings: PodEvent[] = [];
  readonly #waiting: PodEvent[] = [];
  readonly #stopped = new AbortController();
  #calls = 0;

  constructor(parts: {
    readonly api: Pick<KubeApi, 'request'>;
    readonly clock: Clock;
    readonly random: Random;
  }) {
    this.#api = parts.api;
    this.#clock = parts.clock;
    this.#random = parts.random;
  }

  tell(event: PodEvent): void {
    const queue = event.type === 'Warning' ? this.#warnings : this.#waiting;
    if (queue.length >= MAX_WAITING || this.#stopped.signal.aborted) return;
    queue.push(event);
    this.#next();
  }

  stop(): void {
    this.#stopped.abort();
    this.#warnings.length = 0;
    this.#waiting.length = 0;
  }

  #next(): void {
    if (this.#calls >= MAX_CALLS) return;
    const event = this.#warnings.shift() ?? this.#waiting.shift();
    if (event === undefined) return;
    this.#calls += 1;
    const { promise: paced, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(PACE_MS, resolve);
    const over = (): void => {
      cancel();
      resolve();
    };
    this.#stopped.signal.addEventListener('abort', over, { once: true });
    void Promise.all([this.#send(event), paced]).finally(() => {
      this.#stopped.signal.removeEventListener('abort', over);
      this.#calls -= 1;
      this.#next();
    });
  }

  async #send({ pod, object, type, reason, message }: PodEvent): Promise<void> {
    const { name, uid } = pod;
    // Events of what has no namespace are kept in this one.
    const namespace = pod.namespace === '' ? 'default' : pod.namespace;
    const kind = object ?? { apiVersion: 'v1', kind: 'Pod' };
    const path = pathOf({ group: '', version: 'v1', plural: 'events', namespace });
    if (!path.ok) return;
    const now = `${new Date(this.#clock.nowMs()).toISOString().slice(0, 19)}Z`;
    await this.#api.request({
      verb: 'create',
      path: path.value,
      body: {
        metadata: { name: `${name.slice(0, 230)}.${toHex(this.#random.bytes(8))}`, namespace },
        involvedObject: { ...kind, namespace: pod.namespace || undefined, name, uid },
        type,
        reason,
        message: message.slice(0, 1024),
        source: { component: 'signet' },
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      },
      signal: this.#stopped.signal,
    });
  }
}
