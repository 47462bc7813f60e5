import { stateOf } from '../connectors/state.ts';
import {
  type ConnectorCluster,
  ConnectorObjects,
} from '../controllers/connector/connector-objects.ts';
import { ConnectorStatus } from '../controllers/connector/connector-status.ts';
import type { ConnectorFigures, SegmentFigures } from '../controllers/connector/status-of.ts';
import { PodEvents } from '../controllers/pod-events.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import { servedSegments } from '../rules/connector/conflicts.ts';
import { startLeader } from './kube-leader.ts';
import type { ServerCluster, ServerClusters } from './kubernetes.ts';
import type { ServerBase } from './server.ts';

interface ConnectorParts {
  readonly registry: Registry;
  readonly clusters: ServerClusters;
}

/** How groups and segments stand by what is stored alone. */
export function storedFigures({ clock, config }: ServerBase, registry: Registry): ConnectorFigures {
  const { connectors: view } = registry;
  const servingSinceMs = clock.nowMs();
  const heartbeatSeconds = config.connectors?.heartbeat ?? 30;
  const countsOf = (group: string): ReadonlyMap<string, number> => {
    const counts = new Map<string, number>();
    const facts = { session: undefined, lastHeardMs: 0, servingSinceMs, heartbeatSeconds };
    for (const connector of view.connectorsIn(group)) {
      const { state } = stateOf(connector, { ...facts, nowMs: clock.nowMs() });
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    return counts;
  };
  return {
    now: () => ({
      group: (name) => ({
        connectors: countsOf(name),
        upToDate: 0,
        segments: servedSegments(view.segmentsOf(name)).served.length,
        thinSegments: 0,
        activeFlows: 0,
        oldestCertificateExpiresAtSeconds: 0,
        lastError: '',
      }),
      segment: (id) => segmentFigures(view, id),
    }),
    onChange: (listener) => view.onChange(listener),
  };
}

function segmentFigures(view: ConnectorView, id: string): SegmentFigures | undefined {
  const segment = view.segment(id);
  if (segment === undefined) return undefined;
  const all = view.groupsOf(segment).map((group) => {
    const { conflicts } = servedSegments(view.segmentsOf(group));
    return { group, found: conflicts.find(({ segmentId }) => segmentId === id) };
  });
  return {
    groups: all.filter(({ found }) => found === undefined).map(({ group }) => group),
    conflicts: all.flatMap(({ group, found }) =>
      found === undefined ? [] : { group, segmentId: found.standingId, detail: found.detail },
    ),
    healthyConnectors: 0,
  };
}

/**
 * Has ConnectorGroups and ConnectorSegments of clusters make groups and segments. It begins when sessions can
 * be told of: their status says how connectors stand.
 */
export function startKubeConnectors(
  base: ServerBase,
  { registry, clusters }: ConnectorParts,
  figures: ConnectorFigures,
): void {
  const { clock, random, life, metrics } = base;
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
