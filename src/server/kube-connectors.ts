import type { GroupCoverage, LiveConnectors } from '../connectors/live.ts';
import {
  type ConnectorCluster,
  ConnectorObjects,
} from '../controllers/connector/connector-objects.ts';
import { ConnectorStatus } from '../controllers/connector/connector-status.ts';
import type { ConnectorFigures, GroupFigures } from '../controllers/connector/status-of.ts';
import { PodEvents } from '../controllers/pod-events.ts';
import type { GroupStatus } from '../gen/signet/connector/v1/admin.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import { startLeader } from './kube-leader.ts';
import type { ServerCluster, ServerClusters } from './kubernetes.ts';
import type { ServerBase } from './server.ts';

interface ConnectorParts {
  readonly registry: Registry;
  readonly clusters: ServerClusters;
}

/** What tells how connectors stand. */
type Live = Pick<LiveConnectors, 'groupStatus' | 'onChange'> & {
  coverage(group: string): GroupCoverage;
};

/** How groups and segments stand, by the sessions of this server. */
function figuresOf(live: Live, view: ConnectorView): ConnectorFigures {
  return {
    now() {
      const coverages = new Map<string, GroupCoverage>();
      const coverageOf = (group: string): GroupCoverage => {
        const coverage = coverages.get(group) ?? live.coverage(group);
        coverages.set(group, coverage);
        return coverage;
      };
      return {
        group: (name) => groupFigures(live.groupStatus(name)),
        segment(id) {
          const segment = view.segment(id);
          if (segment === undefined) return undefined;
          const all = view.groupsOf(segment).map((group) => ({ group, of: coverageOf(group) }));
          const healthy = all.map(({ of }) => of.healthyOf(id));
          return {
            groups: all.filter(({ of }) => of.isServed(id)).map(({ group }) => group),
            conflicts: all.flatMap(({ of }) => of.conflictOf(id) ?? []),
            healthyConnectors: healthy.reduce((sum, count) => sum + count, 0),
          };
        },
      };
    },
    onChange(listener) {
      const ends = [live.onChange(() => listener()), view.onChange(() => listener())];
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

function groupFigures(status: GroupStatus): GroupFigures {
  const { connectors, activeFlows, oldestCertificateExpiresAt, ...rest } = status;
  return {
    ...rest,
    connectors: new Map(Object.entries(connectors)),
    activeFlows: Number(activeFlows),
    oldestCertificateExpiresAtSeconds: Number(oldestCertificateExpiresAt),
  };
}

/**
 * Has ConnectorGroups and ConnectorSegments of clusters make groups and segments. It begins when sessions can
 * be told of: their status says how connectors stand.
 */
export function startKubeConnectors(
  base: ServerBase,
  { registry, clusters }: ConnectorParts,
  live: Live,
): void {
  const { clock, random, life, metrics } = base;
  const figures = figuresOf(live, registry.connectors);
  const followed = clusters.all.flatMap(({ cluster, api }): ConnectorCluster[] => {
    const { name, connectors: settings, rules } = cluster;
    if (settings === undefined) return [];
    return [{ name, api, filter: rules, settings, clusterDomain: rules.clusterDomain }];
  });
  if (followed.length === 0) return;
  const objects = new ConnectorObjects({
    clusters: followed,
    connectors: registry.connectors,
    clock,
    random,
    log: base.log.child({ part: 'connector objects' }),
    metrics: kubeMetricsOf(metrics),
  });
  life.add('connector objects', () => objects.stop());
  countObjects(base, followed, objects);
  for (const one of clusters.all) startStatus(base, one, objects, figures);
}

function countObjects(
  { metrics }: ServerBase,
  followed: readonly ConnectorCluster[],
  objects: ConnectorObjects,
): void {
  const counted = 'ConnectorGroups and ConnectorSegments, by whether they are in force.';
  metrics.kept('gauge', 'connector_objects', counted, ['cluster', 'kind', 'in_force'], () =>
    followed.flatMap(({ name: cluster }) =>
      (['groups', 'segments'] as const).flatMap((kind) =>
        [true, false].map((wanted) => {
          const standings = objects.standings(cluster)[kind];
          const are = standings.map(({ problem }) => problem === undefined);
          const count = are.filter((isInForce) => isInForce === wanted).length;
          return [{ cluster, kind, in_force: String(wanted) }, count] as const;
        }),
      ),
    ),
  );
}

function startStatus(
  base: ServerBase,
  { cluster: { name, connectors: settings }, api }: ServerCluster,
  objects: ConnectorObjects,
  figures: ConnectorFigures,
): void {
  if (settings?.status === undefined) return;
  const { clock, random, life } = base;
  const log = base.log.child({ cluster: name, part: 'connector objects' });
  const lease = { namespace: settings.status.leaseNamespace, name: settings.status.leaseName };
  const leader = startLeader(base, { api, lease, log });
  life.add(`connector lease of ${name}`, () => leader.stop());
  const events = new PodEvents({ api, clock, random });
  const status = new ConnectorStatus({
    ...{ api, leader, events, clock, figures },
    standings: () => objects.standings(name),
    onChange: (listener) => objects.onChange(listener),
    onFault: ({ code, message: reason }) => log.warn({ code, reason }, 'status is not written'),
  });
  life.add(`connector status of ${name}`, async () => {
    await status.stop();
    events.stop();
  });
}
