import { isDeepStrictEqual } from 'node:util';
import type { Cancel, Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import type { KubeChange } from '../kube/object-cache.ts';
import type { KubeObject } from '../kube/objects.ts';
import { metaOf, objectAt } from '../kube/objects.ts';
import { type KubeResource, NODES, PODS } from '../kube/resource.ts';
import { type KubeWatch, watchKube } from '../kube/watch.ts';
import type { DerivedView } from '../registry/derived-entries.ts';
import type { AgentRecord } from '../rules/entry.ts';
import {
  Derivation,
  type NamespaceStanding,
  type PodEntries,
  type RuleStanding,
} from '../rules/kube/derivation.ts';
import type { PodExplanation } from '../rules/kube/explain.ts';
import type { KubeNode, KubePod } from '../rules/kube/objects.ts';
import { type PrefixGrant, parsePrefixGrant, type RuleKind } from '../rules/kube/pod-rule.ts';
import { type ClusterFacts, DEFAULT_PARENT_ID_TEMPLATE } from '../rules/kube/render.ts';
import type { Logger } from '../runtime/log.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import {
  endpointsFrom,
  namespaceFrom,
  nodeFrom,
  podReader,
  type RuleObject,
  ruleFrom,
} from './projections.ts';
import { GRANTS, NAMESPACES, RULE_RESOURCES, readRule, SLICES } from './rule-kinds.ts';
import type { KubernetesCluster } from './settings.ts';

/** What a controller of one cluster stands on. */
export interface RuleControllerOptions {
  readonly cluster: KubernetesCluster;
  readonly api: KubeApi;
  readonly trustDomain: TrustDomain;
  /** Whether the server serves connectors: rules may not give their IDs then. */
  readonly servesConnectors: boolean;
  readonly derived: DerivedView;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: KubeMetrics | undefined;
}

/** Pods that are looked at before others get their turn: some 15 ms. */
const SLICE = 100;

/** Between two looks whether all has been listed, in milliseconds. */
const READY_POLL_MS = 250;

/** How often it is said why not, in looks: every 30 s. */
const POLLS_PER_WARNING = 120;

/**
 * Derives the entries of one cluster: what watches tell goes into the derivation, what that answers into
 * the registry. Until all has been listed nothing is derived, and the agents of the cluster are told
 * nothing, so that they keep what they have across a restart of the server.
 */
export class RuleController {
  /** The cluster, as templates see it. */
  readonly facts: ClusterFacts;
  readonly #options: RuleControllerOptions;
  readonly #derivation: Derivation;
  readonly #watches: KubeWatch<unknown>[] = [];
  /** Kinds that a cluster need not know: nothing of them is there, then. */
  readonly #optional = new Set<KubeWatch<unknown>>();
  readonly #listeners = new Set<() => void>();
  readonly #release: () => void;
  #cancelPoll: Cancel = () => {};
  #immediate: NodeJS.Immediate | undefined;
  #polls = 0;
  #isListed = false;
  #isReady = false;

  constructor(options: RuleControllerOptions) {
    const { cluster, trustDomain, servesConnectors, derived } = options;
    const { rules, name } = cluster;
    this.#options = options;
    this.facts = {
      trustDomain,
      clusterName: name,
      clusterDomain: rules.clusterDomain,
      pathPrefixes: rules.pathPrefixes,
      servesConnectors,
      parentIdTemplate: rules.parentIdTemplate,
    };
    this.#derivation = new Derivation({
      cluster: this.facts,
      isIgnored: (namespace) => rules.ignoreNamespaces.some((pattern) => pattern.test(namespace)),
    });
    this.#release = derived.holdBack(agentsOf(cluster));
    this.#watchAll();
    this.#poll();
  }

  /** Name of the cluster. */
  get name(): string {
    return this.#options.cluster.name;
  }

  /** Whether everything has been listed and derived once. */
  get isReady(): boolean {
    return this.#isReady;
  }

  get podCount(): number {
    return this.#derivation.podCount;
  }

  get entryCount(): number {
    return this.#derivation.entryCount;
  }

  /** How every rule stands. */
  standings(): Iterable<RuleStanding> {
    return this.#derivation.standings();
  }

  /** A pod and what rules give it now, by `namespace/name`; undefined where there is no such pod. */
  entriesOf(pod: string): PodEntries | undefined {
    return this.#derivation.entriesOf(pod);
  }

  /** The pods on a node. */
  podsOn(node: string): Iterable<KubePod> {
    return this.#derivation.podsOn(node);
  }

  /** A node by its name. */
  node(name: string): KubeNode | undefined {
    return this.#derivation.node(name);
  }

  /** A namespace by its name; undefined where there is none. */
  namespace(name: string): NamespaceStanding | undefined {
    return this.#derivation.namespace(name);
  }

  /** How every rule stands with a pod, by `namespace/name`; undefined where there is no such pod. */
  explain(pod: string): PodExplanation | undefined {
    return this.#derivation.explain(pod);
  }

  /** Calls back when entries have settled after a change. Returns what ends it. */
  onSettled(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#cancelPoll();
    await Promise.all(this.#watches.map((watch) => watch.stop()));
    clearImmediate(this.#immediate);
    this.#listeners.clear();
  }

  #watchAll(): void {
    const to = this.#derivation;
    for (const kind of ['ClusterSPIFFEID', 'ClusterStaticEntry', 'WorkloadIdentity'] as const) {
      this.#watchRules(kind);
    }
    this.#watch(GRANTS, grantFrom, (key, grant) => to.setGrant(key, grant), true);
    this.#watch(NAMESPACES, namespaceFrom, (key, namespace) => {
      if (namespace === undefined) to.deleteNamespace(key);
      else to.putNamespace(namespace);
    });
    this.#watch(NODES, nodeFrom, (key, node) => {
      if (node === undefined) to.deleteNode(key);
      else to.putNode(node);
    });
    this.#watch(SLICES, endpointsFrom, (key, endpoints) => to.setEndpoints(key, endpoints));
    this.#watch(PODS, podReader(), (key, pod) => {
      if (pod === undefined) to.deletePod(key);
      else to.putPod(pod);
    });
  }

  #watchRules(kind: RuleKind): void {
    const { trustDomain, servesConnectors, cluster } = this.#options;
    const { pathPrefixes } = cluster.rules;
    const limit = { clusterName: cluster.name, pathPrefixes, servesConnectors };
    const reading = { filter: cluster.rules, limit, trustDomain };
    const project = (object: KubeObject): RuleObject => ruleFrom(kind, object);
    const taken = new Map<string, RuleObject>();
    this.#watch(
      RULE_RESOURCES[kind],
      project,
      (key, rule) => {
        const before = taken.get(key);
        // Its status has changed, which we write ourselves: no pod is to be looked at for that.
        if (rule !== undefined && isDeepStrictEqual(before, rule)) return;
        const uid = before?.origin.uid;
        if (uid !== undefined && uid !== rule?.origin.uid) this.#derivation.deleteRule(uid);
        if (rule === undefined) {
          taken.delete(key);
          return;
        }
        taken.set(key, rule);
        this.#derivation.putRule(readRule(rule, reading));
      },
      true,
    );
  }

  #watch<T>(
    resource: KubeResource,
    project: (object: KubeObject) => T | undefined,
    take: (key: string, value: T | undefined) => void,
    isOptional = false,
  ): void {
    const { api, clock, random, log, metrics } = this.#options;
    const watch = watchKube<T>({ api, resource, project, clock, random, log, metrics });
    this.#watches.push(watch);
    if (isOptional) this.#optional.add(watch);
    watch.onChange((change: KubeChange<T>) => {
      if (change.kind === 'put') take(change.key, change.value);
      else if (change.kind === 'delete') take(change.key, undefined);
      this.#schedule();
    });
  }

  /** Looks again until every kind is listed, or is one that the cluster does not know. */
  #poll(): void {
    const missing = this.#watches.filter((watch) => !watch.synced && !this.#isUnknown(watch));
    if (missing.length === 0) {
      this.#isListed = true;
      this.#schedule();
      return;
    }
    this.#polls += 1;
    if (this.#polls % POLLS_PER_WARNING === 0) this.#warn(missing);
    this.#cancelPoll = this.#options.clock.after(READY_POLL_MS, () => this.#poll());
  }

  #isUnknown(watch: KubeWatch<unknown>): boolean {
    return this.#optional.has(watch) && watch.problem?.code === 'KUBE_NOT_FOUND';
  }

  #warn(missing: readonly KubeWatch<unknown>[]): void {
    const reasons = missing.flatMap(({ problem }) => problem?.message ?? []);
    this.#options.log.warn(
      { cluster: this.name, reasons },
      'rules wait for the API server; agents of the cluster keep what they have',
    );
  }

  #schedule(): void {
    if (!this.#isListed || this.#immediate !== undefined) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.#settle();
    });
  }

  /** A slice at a time: others get their turn between two. */
  #settle(): void {
    const change = this.#derivation.settle(SLICE);
    if (change.upserts.length > 0 || change.deletedIds.length > 0) {
      this.#options.derived.apply(change);
    }
    if (this.#derivation.pending > 0) {
      this.#schedule();
      return;
    }
    if (!this.#isReady) this.#becomeReady();
    for (const listener of this.#listeners) listener();
  }

  #becomeReady(): void {
    this.#isReady = true;
    this.#release();
    const facts = { pods: this.podCount, entries: this.entryCount };
    this.#options.log.info(facts, 'rules are in force');
  }
}

/** The agents that wait for a cluster: those of its nodes, or all where their IDs are made otherwise. */
function agentsOf({ name, rules }: KubernetesCluster): (agent: AgentRecord) => boolean {
  if (rules.parentIdTemplate.text !== DEFAULT_PARENT_ID_TEMPLATE) return () => true;
  return ({ id }) => id.path.startsWith(`/spire/agent/k8s_psat/${name}/`);
}

/** A grant that cannot be read grants nothing. */
function grantFrom(object: KubeObject): PrefixGrant | undefined {
  const grant = parsePrefixGrant(metaOf(object).name, objectAt(object, 'spec') ?? {});
  return grant.ok ? grant.value : undefined;
}
