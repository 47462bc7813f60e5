import { DomainStatus } from '../controllers/federated-domain/domain-status.ts';
import { FederatedDomains } from '../controllers/federated-domain/federated-domains.ts';
import { PodEvents } from '../controllers/pod-events.ts';
import type { KubernetesCluster } from '../controllers/settings.ts';
import type { BundleFetcher } from '../federation/fetcher.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { Registry } from '../registry/registry.ts';
import type { ServerCluster, ServerClusters } from './kubernetes.ts';
import type { ServerBase } from './server.ts';

interface DomainParts {
  readonly registry: Registry;
  readonly clusters: ServerClusters;
}

/**
 * Has the ClusterFederatedTrustDomains of clusters make relationships. It begins when these are followed:
 * their status says how fetching goes.
 */
export function startFederatedDomains(
  base: ServerBase,
  { registry, clusters }: DomainParts,
  fetcher: Pick<BundleFetcher, 'status'>,
): void {
  const { clock, random, life, metrics } = base;
  const followed = clusters.all.filter(({ cluster }) => isFollowed(cluster));
  if (followed.length === 0) return;
  const domains = new FederatedDomains({
    clusters: followed.map(({ cluster, api }) => {
      return { name: cluster.name, api, filter: cluster.rules };
    }),
    federation: registry.federation,
    trustDomain: base.config.trustDomain,
    clock,
    random,
    log: base.log.child({ part: 'federated trust domains' }),
    metrics: kubeMetricsOf(metrics),
  });
  life.add('federated trust domains', () => domains.stop());
  const counted =
    'Objects that name a trust domain to federate with, by whether they are in force.';
  metrics.kept('gauge', 'federated_domain_objects', counted, ['cluster', 'in_force'], () =>
    followed.flatMap(({ cluster: { name } }) =>
      [true, false].map((wanted) => {
        const standings = domains.standings(name);
        const count = standings.filter(({ problem }) => (problem === undefined) === wanted).length;
        return [{ cluster: name, in_force: String(wanted) }, count] as const;
      }),
    ),
  );
  for (const one of followed) startStatus(base, one, { domains, registry, fetcher });
}

/** A cluster that may not choose its IDs freely has no say over whom all others trust. */
function isFollowed({ rules }: KubernetesCluster): boolean {
  return rules.enabled && (rules.federatedTrustDomains ?? rules.pathPrefixes.length === 0);
}

function startStatus(
  base: ServerBase,
  { cluster: { name }, api, statusLeader: leader }: ServerCluster,
  parts: {
    readonly domains: FederatedDomains;
    readonly registry: Registry;
    readonly fetcher: Pick<BundleFetcher, 'status'>;
  },
): void {
  if (leader === undefined) return;
  const { clock, random, life } = base;
  const { domains, registry, fetcher } = parts;
  const log = base.log.child({ cluster: name, part: 'federated trust domains' });
  const events = new PodEvents({ api, clock, random });
  const status = new DomainStatus({
    ...{ api, leader, events, clock },
    standings: () => domains.standings(name),
    onChange: (listener) => domains.onChange(listener),
    federation: registry.federation,
    fetchOf: (trustDomain) => fetcher.status(trustDomain),
    onFault: ({ code, message: reason }) => log.warn({ code, reason }, 'status is not written'),
  });
  life.add(`federated trust domain status of ${name}`, async () => {
    await status.stop();
    events.stop();
  });
}
