import { MultiMap } from '../../base/multi-map.ts';
import { anchorsOfPod } from './anchors.ts';
import type { Claim } from './claims.ts';
import { type KubeNamespace, type KubePod, podKey } from './objects.ts';
import type { RuleState } from './rule-table.ts';

/** What a rule made of a pod that it selects. */
export interface Outcome {
  readonly rule: RuleState;
  readonly claim: Claim | undefined;
  readonly isFailure: boolean;
}

/** A pod with what the rules made of it. */
export interface PodState {
  pod: KubePod;
  /** As it was when the pod was indexed. */
  namespace: KubeNamespace | undefined;
  isGone: boolean;
  outcomes: readonly Outcome[];
}

const NO_OUTCOMES: readonly Outcome[] = Object.freeze([]);

/** The pods of a cluster, by name and by everything that may concern several of them. */
export class PodTable {
  readonly #pods = new Map<string, PodState>();
  readonly #by = new MultiMap<PodState>();

  get size(): number {
    return this.#pods.size;
  }

  /** @param key `namespace/name`. */
  get(key: string): PodState | undefined {
    return this.#pods.get(key);
  }

  /** Pods at an anchor of rules, or at `node:…` or `uid:…`. */
  at(anchor: string): Iterable<PodState> {
    return this.#by.get(anchor);
  }

  /** Adds a pod, or replaces the one with its name. */
  put(pod: KubePod, namespace: KubeNamespace | undefined): PodState {
    const key = podKey(pod);
    const known = this.#pods.get(key);
    if (known !== undefined) this.#unindex(known);
    const state = known ?? { pod, namespace, isGone: false, outcomes: NO_OUTCOMES };
    state.pod = pod;
    state.namespace = namespace;
    this.#pods.set(key, state);
    for (const anchor of indexesOf(state)) this.#by.add(anchor, state);
    return state;
  }

  /** Takes a pod out; undefined where there is none. */
  delete(key: string): PodState | undefined {
    const state = this.#pods.get(key);
    if (state === undefined) return undefined;
    this.#unindex(state);
    this.#pods.delete(key);
    state.isGone = true;
    return state;
  }

  #unindex(state: PodState): void {
    for (const anchor of indexesOf(state)) this.#by.remove(anchor, state);
  }
}

function indexesOf({ pod, namespace }: PodState): readonly string[] {
  return [...anchorsOfPod(pod, namespace), `node:${pod.nodeName}`, `uid:${pod.uid}`];
}
