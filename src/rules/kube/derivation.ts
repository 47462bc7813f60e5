import { type DerivedChange, type DerivedEntry, deriveEntry } from '../derived.ts';
import type { EntryDraft } from '../entry.ts';
import { anchorsOfPod } from './anchors.ts';
import { type Claim, Claims } from './claims.ts';
import { explainPod, type PodExplanation } from './explain.ts';
import { judgePod } from './judge.ts';
import { type Labels, unmetRequirement } from './label-selector.ts';
import {
  type KubeEndpoints,
  type KubeNamespace,
  type KubeNode,
  type KubePod,
  podKey,
} from './objects.ts';
import type { PrefixGrant } from './pod-rule.ts';
import { type Outcome, type PodState, PodTable } from './pod-table.ts';
import type { ClusterFacts } from './render.ts';
import { anchorsOf, type KnownRule, type RuleState, RuleTable } from './rule-table.ts';
import { Surroundings } from './surroundings.ts';

/** Counts of what a rule does, by the names that spire-controller-manager has for them. */
export interface RuleStats {
  readonly namespacesSelected: number;
  readonly namespacesIgnored: number;
  readonly podsSelected: number;
  readonly podEntryRenderFailures: number;
  readonly entriesMasked: number;
  readonly entriesToSet: number;
}

/** A rule and how it stands. */
export interface RuleStanding {
  readonly known: KnownRule;
  readonly stats: RuleStats;
  /** What went wrong with the pod that the rule failed on last; undefined while it fails on none. */
  readonly failure: string | undefined;
}

/** A pod and the entries that rules give it. */
export interface PodEntries {
  readonly pod: KubePod;
  readonly entries: readonly DerivedEntry[];
}

/** A namespace, as far as what it is granted goes. */
export interface NamespaceStanding {
  readonly labels: Labels;
  /** Path prefixes below which it may choose. */
  readonly prefixes: readonly string[];
}

/** What a derivation is made with. */
export interface DerivationOptions {
  readonly cluster: ClusterFacts;
  /** Whether rules leave a namespace to itself. */
  readonly isIgnored: (namespace: string) => boolean;
}

const NO_OUTCOMES: readonly Outcome[] = Object.freeze([]);

/**
 * The entries that the rules of one cluster give its pods, kept up to date at a cost by changes: a pod
 * meets the rules that can be about it, a rule its pods. What is put in takes effect in {@link settle}.
 */
export class Derivation {
  readonly #cluster: ClusterFacts;
  readonly #around: Surroundings;
  readonly #pods = new PodTable();
  readonly #rules = new RuleTable();
  readonly #claims = new Claims();
  readonly #dirty = new Set<PodState>();

  constructor({ cluster, isIgnored }: DerivationOptions) {
    this.#cluster = cluster;
    this.#around = new Surroundings(cluster, isIgnored);
  }

  get podCount(): number {
    return this.#pods.size;
  }

  /** Entries in force. */
  get entryCount(): number {
    return this.#claims.size;
  }

  /** Pods that {@link settle} has yet to look at. */
  get pending(): number {
    return this.#dirty.size;
  }

  /** Entries in force. */
  entries(): Iterable<DerivedEntry> {
    return this.#claims.published();
  }

  putPod(pod: KubePod): void {
    this.#dirty.add(this.#pods.put(pod, this.#around.namespaces.get(pod.namespace)));
  }

  /** @param key `namespace/name`. */
  deletePod(key: string): void {
    const state = this.#pods.delete(key);
    if (state !== undefined) this.#dirty.add(state);
  }

  putNode(node: KubeNode): void {
    this.#around.putNode(node);
    this.#touch(`node:${node.name}`);
  }

  deleteNode(name: string): void {
    if (this.#around.deleteNode(name)) this.#touch(`node:${name}`);
  }

  putNamespace(namespace: KubeNamespace): void {
    this.#around.namespaces.set(namespace.name, namespace);
    this.#touchNamespace(namespace.name);
  }

  deleteNamespace(name: string): void {
    if (this.#around.namespaces.delete(name)) this.#touchNamespace(name);
  }

  /** What a service leads to, by a key of its own; undefined takes it out. */
  setEndpoints(key: string, endpoints: KubeEndpoints | undefined): void {
    for (const uid of this.#around.setEndpoints(key, endpoints)) this.#touch(`uid:${uid}`);
  }

  /** A grant by its name; undefined takes it out. */
  setGrant(name: string, grant: PrefixGrant | undefined): void {
    if (grant === undefined) this.#around.grants.delete(name);
    else this.#around.grants.set(name, grant);
    // By namespace, not by rule: of ten thousand, many have the same.
    const namespaces = new Set<string>();
    for (const { known } of this.#rules.all()) {
      if (known.origin.kind === 'WorkloadIdentity') namespaces.add(known.origin.namespace);
    }
    for (const namespace of namespaces) this.#touch(`in:${namespace}`);
  }

  putRule(known: KnownRule): void {
    this.deleteRule(known.origin.uid);
    const rule = this.#rules.add(known);
    if (known.kind === 'static' && known.parsed.ok) {
      const createdAtSeconds = Math.floor(known.origin.createdAtMs / 1000);
      rule.claim = this.#claim(rule, known.parsed.value, createdAtSeconds, undefined);
      this.#claims.add(rule.claim);
    }
    this.#touchRule(known);
  }

  deleteRule(uid: string): void {
    const rule = this.#rules.delete(uid);
    if (rule === undefined) return;
    if (rule.claim !== undefined) this.#claims.remove(rule.claim);
    this.#touchRule(rule.known);
  }

  /**
   * Looks at pods that something changed for, at most `maxPods`, and answers what became of entries.
   * {@link pending} says whether there is more to look at.
   */
  settle(maxPods = Number.POSITIVE_INFINITY): DerivedChange {
    let left = maxPods;
    for (const state of this.#dirty) {
      if (left <= 0) break;
      left -= 1;
      this.#dirty.delete(state);
      this.#evaluate(state);
    }
    return this.#claims.take();
  }

  /** How every rule stands. */
  *standings(): Generator<RuleStanding> {
    for (const rule of this.#rules.all()) yield this.#standing(rule);
  }

  /** A pod and what rules give it now, by `namespace/name`; undefined where there is no such pod. */
  entriesOf(key: string): PodEntries | undefined {
    const state = this.#pods.get(key);
    if (state === undefined) return undefined;
    const winners = state.outcomes.flatMap(({ claim }) =>
      claim === undefined ? [] : (this.#claims.winner(claim.entry.id) ?? []),
    );
    return { pod: state.pod, entries: [...new Set<DerivedEntry>(winners)] };
  }

  /** The pods on a node. */
  *podsOn(node: string): Generator<KubePod> {
    for (const { pod } of this.#pods.at(`node:${node}`)) yield pod;
  }

  /** A node by its name. */
  node(name: string): KubeNode | undefined {
    return this.#around.node(name);
  }

  /** A namespace by its name; undefined where there is none. */
  namespace(name: string): NamespaceStanding | undefined {
    const known = this.#around.namespaces.get(name);
    if (known === undefined) return undefined;
    return { labels: known.labels, prefixes: this.#around.prefixesOf(name) };
  }

  /** How every rule stands with a pod; undefined where there is no such pod. */
  explain(key: string): PodExplanation | undefined {
    const state = this.#pods.get(key);
    if (state === undefined) return undefined;
    return explainPod(state, {
      rules: this.#rules.all(),
      claims: this.#claims,
      surroundings: this.#around,
      cluster: this.#cluster,
    });
  }

  #standing({ known, counts, failure }: RuleState): RuleStanding {
    const selector =
      known.kind === 'pods' && known.parsed.ok ? known.parsed.value.namespaceSelector : undefined;
    const own = known.origin.namespace;
    const selected = [...this.#around.namespaces.values()].filter(
      ({ name, labels }) =>
        selector !== undefined &&
        (own === '' || own === name) &&
        unmetRequirement(selector, labels) === undefined,
    );
    const stats = {
      namespacesSelected: selected.length,
      namespacesIgnored: selected.filter(({ name }) => this.#around.isIgnored(name)).length,
      podsSelected: counts.selected,
      podEntryRenderFailures: counts.failed,
      entriesMasked: counts.masked,
      entriesToSet: counts.set,
    };
    return { known, stats, failure: counts.failed > 0 ? failure : undefined };
  }

  #evaluate(state: PodState): void {
    for (const { rule, claim, isFailure } of state.outcomes) {
      rule.counts.selected -= 1;
      if (isFailure) rule.counts.failed -= 1;
      if (claim !== undefined) this.#claims.remove(claim);
    }
    state.outcomes = state.isGone ? NO_OUTCOMES : this.#outcomesOf(state);
    for (const { rule, claim, isFailure } of state.outcomes) {
      rule.counts.selected += 1;
      if (isFailure) rule.counts.failed += 1;
      if (claim !== undefined) this.#claims.add(claim);
    }
  }

  #outcomesOf({ pod, namespace }: PodState): readonly Outcome[] {
    const subject = this.#around.subject(pod);
    const outcomes: Outcome[] = [];
    const spare: Outcome[] = [];
    for (const rule of this.#rules.at(anchorsOfPod(pod, namespace))) {
      const { known } = rule;
      if (known.kind !== 'pods' || !known.parsed.ok) continue;
      const verdict = judgePod(known.parsed.value, subject, this.#cluster);
      if (verdict.kind === 'not-selected' || verdict.kind === 'ignored') continue;
      const isFailure = verdict.kind === 'failed';
      if (isFailure) rule.failure = `pod ${podKey(pod)}: ${verdict.error.message.slice(0, 500)}`;
      const claim =
        verdict.kind === 'entry'
          ? this.#claim(rule, verdict.draft, pod.createdAtSeconds, podKey(pod))
          : undefined;
      (known.parsed.value.fallback ? spare : outcomes).push({ rule, claim, isFailure });
    }
    if (outcomes.every(({ claim }) => claim === undefined)) return [...outcomes, ...spare];
    // A fallback that is not needed still counts the pod as selected.
    const idle = spare.map(({ rule }) => ({ rule, claim: undefined, isFailure: false }));
    return [...outcomes, ...idle];
  }

  #claim(
    { known, counts }: RuleState,
    draft: EntryDraft,
    createdAtSeconds: number,
    pod: string | undefined,
  ): Claim {
    const { clusterName: cluster } = this.#cluster;
    const source = { cluster, rule: known.origin, pod };
    return { entry: deriveEntry(draft, cluster, createdAtSeconds), source, counts };
  }

  #touch(anchor: string): void {
    for (const state of this.#pods.at(anchor)) this.#dirty.add(state);
  }

  #touchRule(known: KnownRule): void {
    for (const anchor of anchorsOf(known)) this.#touch(anchor);
  }

  /** Its labels are anchors of its pods, which are put anew. */
  #touchNamespace(name: string): void {
    for (const { pod } of [...this.#pods.at(`in:${name}`)]) this.putPod(pod);
  }
}
