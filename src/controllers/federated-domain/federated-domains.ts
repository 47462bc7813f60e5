import type { Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import { type KubeWatch, watchKube } from '../../kube/watch.ts';
import type { FederationRegistry } from '../../registry/federation.ts';
import type { Logger } from '../../runtime/log.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import { type ClassFilter, FEDERATED_DOMAINS } from '../rule-kinds.ts';
import { Settling } from '../settling.ts';
import { type DomainObject, domainObjectFrom } from './domain-object.ts';
import { allWritten, bundleTextsOf, type DomainStanding, planFederation } from './plan.ts';

/** A cluster whose objects are acted on. */
export interface DomainCluster {
  readonly name: string;
  readonly api: KubeApi;
  readonly filter: ClassFilter;
}

/** What following the objects of all clusters needs. */
export interface FederatedDomainsOptions {
  readonly clusters: readonly DomainCluster[];
  readonly federation: FederationRegistry;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: KubeMetrics | undefined;
}

/**
 * Keeps the relationships that ClusterFederatedTrustDomains of all clusters ask for, in one place: two
 * clusters may name one trust domain. What they made is taken back with them, by its origin, and only when
 * their cluster has been read whole.
 */
export class FederatedDomains {
  readonly #options: FederatedDomainsOptions;
  readonly #watches: ReadonlyMap<string, KubeWatch<DomainObject>>;
  readonly #settling: Settling;
  readonly #endListening: () => void;
  #bundleTexts: ReadonlyMap<string, string> = new Map();
  #standings: readonly DomainStanding[] = [];

  constructor(options: FederatedDomainsOptions) {
    this.#options = options;
    this.#settling = new Settling(options.clock, () => this.#look());
    this.#watches = new Map(options.clusters.map((one) => [one.name, this.#watch(one)]));
    this.#endListening = options.federation.onChange(() => this.#settling.wake());
  }

  /** How the objects of a cluster stand. */
  standings(cluster: string): readonly DomainStanding[] {
    return this.#standings.filter((one) => one.cluster === cluster);
  }

  /** Calls back when objects may stand otherwise. Returns what ends it. */
  onChange(listener: () => void): () => void {
    return this.#settling.onChange(listener);
  }

  async stop(): Promise<void> {
    this.#endListening();
    await this.#settling.stop([...this.#watches.values()]);
  }

  #watch({ name, api, filter }: DomainCluster): KubeWatch<DomainObject> {
    const { clock, random, metrics, trustDomain } = this.#options;
    const watch = watchKube<DomainObject>({
      ...{ api, clock, random, metrics },
      resource: FEDERATED_DOMAINS,
      log: this.#options.log.child({ cluster: name }),
      project: (object) => domainObjectFrom(object, { filter, own: trustDomain }),
    });
    watch.onChange(() => this.#settling.wake());
    return watch;
  }

  async #look(): Promise<void> {
    const { clusters, federation } = this.#options;
    const plan = planFederation({
      clusters: clusters.map(({ name }) => {
        const watch = this.#watches.get(name);
        const objects = [...(watch?.entries() ?? [])].map(([, object]) => object);
        return { name, isSynced: watch?.synced === true, objects };
      }),
      federation,
      bundleTexts: this.#bundleTexts,
    });
    this.#standings = plan.standings;
    const { writes, deletes } = plan;
    const written = writes.length === 0 ? undefined : await federation.writeRelationships(writes);
    const gone = deletes.length === 0 ? undefined : await federation.deleteRelationships(deletes);
    const isDone = (written === undefined || allWritten(written)) && gone?.ok !== false;
    if (isDone) this.#bundleTexts = bundleTextsOf(plan.standings);
    else this.#again([written, gone]);
    for (const { federation: one } of writes) this.#tell(one.trustDomain.name, one.origin, written);
    for (const { trustDomain, origin = '' } of deletes) this.#tell(trustDomain, origin, gone, true);
  }

  /** What was changed by others meanwhile, or could not be written, is looked at anew. */
  #again(results: readonly (Result<unknown> | undefined)[]): void {
    this.#settling.wakeLater();
    const errors = results.flatMap((one): SignetError[] =>
      one === undefined || one.ok ? [] : [one.error],
    );
    for (const { code, message: reason, action } of errors) {
      this.#options.log.warn({ code, reason, action }, 'relationships are not written');
    }
  }

  #tell(
    trustDomain: string,
    origin: string,
    done: Result<unknown> | undefined,
    gone = false,
  ): void {
    if (done?.ok !== true) return;
    const facts = { federatedTrustDomain: trustDomain, origin };
    const what = gone
      ? 'a relationship ended with its ClusterFederatedTrustDomain'
      : 'a relationship is as its ClusterFederatedTrustDomain says';
    this.#options.log.info(facts, what);
  }
}
