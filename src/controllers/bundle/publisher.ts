import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import type { AwaitedBundle } from '../../registry/bundle-acks.ts';
import type { FederationView } from '../../registry/federation.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { KubernetesCluster } from '../settings.ts';
import { FederatedTargets } from './federated-targets.ts';
import { type BundleForm, configMapForm, trustBundleForm } from './forms.ts';
import type { ConfigMapSettings } from './settings.ts';
import { BundleTarget, type TargetPlace } from './target.ts';

/** What the publisher of one cluster stands on. */
export interface BundlePublisherOptions {
  readonly cluster: Pick<
    KubernetesCluster,
    'name' | 'trustBundles' | 'configMaps' | 'bundleSettle'
  >;
  readonly api: KubeApi;
  readonly trustDomain: TrustDomain;
  readonly registry: Pick<Registry, 'bundle' | 'onBundle'> & {
    readonly federation: Pick<FederationView, 'bundle' | 'bundles' | 'onChange'>;
  };
  /** Undefined where this server publishes whatever others do. */
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: KubeMetrics | undefined;
  readonly onFailure: (target: string, error: SignetError) => void;
}

/**
 * Publishes the bundle in one cluster, at once whenever it changes, and keeps it there. New authorities
 * are in it before they sign, and wait for it: pods that mount it know no others.
 */
export class BundlePublisher {
  readonly #options: BundlePublisherOptions;
  readonly #targets: readonly BundleTarget[];
  readonly #federated: FederatedTargets;
  readonly #closers: (() => void)[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stopped = new AbortController();
  #cancelProgress: Cancel | undefined;

  constructor(options: BundlePublisherOptions) {
    this.#options = options;
    const { registry, leader } = options;
    const own = this.#formsOf(undefined);
    this.#targets = own.map(([form, place]) => this.#target(form, place, () => registry.bundle));
    this.#federated = new FederatedTargets({
      ...options,
      federation: registry.federation,
      reserved: new Set(own.map(([{ kind, name }]) => `${kind}/${name}`)),
      forms: (other) => this.#formsOf(other),
      target: (form, place, bundle) => this.#target(form, place, bundle),
      term: () => this.#term(),
    });
    const wake = (): void => {
      for (const target of this.#targets) target.wake();
    };
    this.#closers.push(registry.onBundle(wake));
    if (leader === undefined) return;
    this.#closers.push(
      leader.onChange(() => {
        wake();
        this.#federated.wake();
      }),
    );
  }

  /** Name of the cluster. */
  get name(): string {
    return this.#options.cluster.name;
  }

  get targets(): readonly BundleTarget[] {
    return [...this.#targets, ...this.#federated.targets];
  }

  /** Which objects have not held a bundle for as long as kubelets take; see `Propagation` of authorities. */
  async missing({ sequence }: AwaitedBundle): Promise<Result<readonly string[]>> {
    const forMs = this.#options.cluster.bundleSettle * 1000;
    const missing = this.#targets.flatMap((target) => target.missing(sequence, forMs));
    return ok(missing.map((title) => `${this.name}/${title}`));
  }

  /** Calls `listener` when objects have held a bundle for so long. Returns what ends it. */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancelProgress?.();
    for (const close of this.#closers.splice(0)) close();
    await Promise.all([this.#federated.stop(), ...this.#targets.map((target) => target.stop())]);
  }

  /** What configuration has published, of the own trust domain or of another one. */
  #formsOf(other: TrustDomain | undefined): readonly (readonly [BundleForm, TargetPlace])[] {
    const { cluster, trustDomain: own } = this.#options;
    const isAsked = ({ federated }: { readonly federated: boolean }): boolean =>
      other === undefined || federated;
    const place = { kind: 'cluster' } as const;
    return [
      ...cluster.trustBundles
        .filter(isAsked)
        .map((one) => [trustBundleForm(one, own, other), place] as const),
      ...cluster.configMaps
        .filter(isAsked)
        .map((one) => [configMapForm(one, own, other), placeOf(one)] as const),
    ];
  }

  #target(form: BundleForm, place: TargetPlace, bundle: () => Bundle | undefined): BundleTarget {
    return new BundleTarget({
      ...this.#options,
      form,
      place,
      bundle,
      term: () => this.#term(),
      onStanding: () => this.#armProgress(),
    });
  }

  #term(): AbortSignal | undefined {
    const { leader } = this.#options;
    return leader === undefined ? this.#stopped.signal : leader.term;
  }

  #armProgress(): void {
    const { clock, cluster } = this.#options;
    this.#cancelProgress?.();
    if (this.#stopped.signal.aborted) return;
    this.#cancelProgress = clock.after(cluster.bundleSettle * 1000, () => {
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

function placeOf({ namespace, namespaceSelector: selector = '' }: ConfigMapSettings): TargetPlace {
  return namespace === undefined
    ? { kind: 'selector', selector }
    : { kind: 'namespace', namespace };
}
