import { keepBundleMetrics } from '../controllers/bundle/metrics.ts';
import { BundlePublisher } from '../controllers/bundle/publisher.ts';
import type { KubernetesCluster } from '../controllers/settings.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { Registry } from '../registry/registry.ts';
import { startLeader } from './kube-leader.ts';
import type { Receivers } from './receivers.ts';
import type { ServerBase } from './server.ts';

/** A cluster of configuration, and the way to it. */
export interface PublishingCluster {
  readonly cluster: KubernetesCluster;
  readonly api: KubeApi;
}

interface PublishingParts {
  readonly registry: Registry;
  readonly receivers: Receivers;
  readonly clusters: readonly PublishingCluster[];
}

/**
 * Publishes the bundle in the clusters whose configuration says so. Each is one more that a new authority
 * waits for, as long as for agents (docs/kubernetes-objects.md).
 */
export function startBundles(
  base: ServerBase,
  { registry, receivers, clusters }: PublishingParts,
): void {
  const { config, clock, random, metrics, life } = base;
  const wanted = clusters.filter(
    ({ cluster }) => cluster.trustBundles.length + cluster.configMaps.length > 0,
  );
  if (wanted.length === 0) return;
  const publishers: BundlePublisher[] = [];
  const failed = keepBundleMetrics(metrics, publishers);
  for (const { cluster, api } of wanted) {
    const { name, bundleLease: lease } = cluster;
    const log = base.log.child({ cluster: name, part: 'bundles' });
    const leader = lease === undefined ? undefined : startLeader(base, { api, lease, log });
    if (leader !== undefined) life.add(`bundle lease of ${name}`, () => leader.stop());
    const publisher = new BundlePublisher({
      ...{ cluster, api, registry, leader, clock, random, log },
      trustDomain: config.trustDomain,
      metrics: kubeMetricsOf(metrics),
      onFailure: (target, error) => failed(name, target, error),
    });
    life.add(`bundles of ${name}`, () => publisher.stop());
    receivers.add(publisher);
    publishers.push(publisher);
  }
}
