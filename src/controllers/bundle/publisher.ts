import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { LeaderElection } from '../../kube/leader.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import type { AwaitedBundle } from '../../registry/bundle-acks.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Logger } from '../../runtime/log.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { KubernetesCluster } from '../settings.ts';
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
  readonly registry: Pick<Registry, 'bundle' | 'onBundle'>;
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
  readonly #closers: (() => void)[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stopped = new AbortController();
  #cancelProgress: Cancel | undefined;

  constructor(options: BundlePublisherOptions) {
    this.#options = options;
    const { cluster, trustDomain, registry, leader } = options;
    this.#targets = [
      ...cluster.trustBundles.map((settings) =>
        this.#target(trustBundleForm(settings, trustDomain), { kind: 'cluster' }),
      ),
      ...cluster.configMaps.map((settings) =>
        this.#target(configMapForm(settings), placeOf(settings)),
      ),
    ];
    const wake = (): void => {
      for (const target of this.#targets) target.wake();
    };
    this.#closers.push(registry.onBundle(wake));
    if (leader !== undefined) this.#closers.push(leader.onChange(wake));
  }

  /** Name of the cluster. */
  get name(): string {
    return this.#options.cluster.name;
  }

  get targets(): readonly BundleTarget[] {
    return this.#targets;
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
    await Promise.all(this.#targets.map((target) => target.stop()));
  }

  #target(form: BundleForm, place: TargetPlace): BundleTarget {
    const { registry, leader } = this.#options;
    return new BundleTarget({
      ...this.#options,
      form,
      place,
      bundle: () => registry.bundle,
      term: () => (leader === undefined ? this.#stopped.signal : leader.term),
      onStanding: () => this.#armProgress(),
    });
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
