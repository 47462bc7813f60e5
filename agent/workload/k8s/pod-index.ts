import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../../src/base/clock.ts';
import type { NodePod, PodContainer } from './node-pod.ts';

/** A container and the pod whose status names it. */
export interface PodClaim {
  readonly pod: NodePod;
  readonly container: PodContainer;
}

/** Who is waiting for a container to appear: what makes a source look sooner. */
export interface Demand {
  readonly waiting: boolean;
  /** Calls the listener when somebody begins to wait; answers with the end of that. */
  onWaiting(listener: () => void): () => void;
}

/**
 * The pods of this node by UID and, for a lookup, by container id. A pod that is put again without a
 * change stays the very object that it was, so that who has looked at it sees in passing whether it
 * changed.
 */
export class PodIndex implements Demand {
  readonly #pods = new Map<string, NodePod>();
  readonly #claims = new Map<string, readonly PodClaim[]>();
  readonly #waiters = new Map<string, Set<() => void>>();
  readonly #listeners = new Set<() => void>();

  get size(): number {
    return this.#pods.size;
  }

  get waiting(): boolean {
    return this.#waiters.size > 0;
  }

  /** The pods that name a container: one, none, or more where the source contradicts itself. */
  claims(containerId: string): readonly PodClaim[] {
    return this.#claims.get(containerId) ?? [];
  }

  put(pod: NodePod): void {
    const before = this.#pods.get(pod.uid);
    if (before !== undefined) {
      if (isDeepStrictEqual(before, pod)) return;
      this.#unclaim(before);
    }
    this.#pods.set(pod.uid, pod);
    for (const container of containersOf(pod)) {
      const { containerId } = container;
      this.#claims.set(containerId, [...this.claims(containerId), { pod, container }]);
      for (const wake of this.#waiters.get(containerId) ?? []) wake();
    }
  }

  remove(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#pods.delete(uid);
    this.#unclaim(pod);
  }

  /** Puts these pods, and takes out all others. */
  replace(pods: readonly NodePod[]): void {
    const uids = new Set(pods.map(({ uid }) => uid));
    for (const uid of [...this.#pods.keys()]) if (!uids.has(uid)) this.remove(uid);
    for (const pod of pods) this.put(pod);
  }

  /** Answers when a pod names the container, at once if one does, or after `limitMs`. */
  async wait(containerId: string, limitMs: number, clock: Clock): Promise<void> {
    if (this.#claims.has(containerId)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = this.#waiters.get(containerId) ?? new Set();
    this.#waiters.set(containerId, waiters.add(resolve));
    const cancel = clock.after(limitMs, resolve);
    for (const listener of this.#listeners) listener();
    await promise;
    cancel();
    waiters.delete(resolve);
    if (waiters.size === 0) this.#waiters.delete(containerId);
  }

  onWaiting(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #unclaim(pod: NodePod): void {
    for (const { containerId } of containersOf(pod)) {
      const rest = this.claims(containerId).filter((claim) => claim.pod !== pod);
      if (rest.length === 0) this.#claims.delete(containerId);
      else this.#claims.set(containerId, rest);
    }
  }
}

function containersOf({ containers, initContainers }: NodePod): readonly PodContainer[] {
  return [...containers, ...initContainers].filter(({ containerId }) => containerId !== '');
}
