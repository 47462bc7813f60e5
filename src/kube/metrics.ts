import type { Metrics } from '../runtime/metrics.ts';

/** What a process counts about its calls to API servers. */
export interface KubeMetrics {
  /** A call has ended: by cluster and verb, `ok` or the code of its refusal. */
  called(cluster: string, verb: string, outcome: string): void;
  /** A watch was begun again, and why: `closed`, or a code. */
  watchRestarted(cluster: string, resource: string, reason: string): void;
  /** Shows how a watch stands, for as long as the answer is not called. */
  watches(cluster: string, resource: string, standing: WatchStanding): () => void;
}

/** How a watch stands when it is asked. */
export interface WatchStanding {
  /** Objects that it holds. */
  readonly size: number;
  /** For how long the API server has not been listened to, in milliseconds; 0 while it is. */
  readonly staleMs: number;
}

/** One for each process, since a name may be made once in it. */
const made = new WeakMap<Metrics, KubeMetrics>();

/** The metrics of a process; whoever asks again gets the same. */
export function kubeMetricsOf(metrics: Metrics): KubeMetrics {
  const known = made.get(metrics) ?? createKubeMetrics(metrics);
  made.set(metrics, known);
  return known;
}

function createKubeMetrics(metrics: Metrics): KubeMetrics {
  const calls = metrics.counter('kube_calls_total', 'Calls to Kubernetes API servers.', [
    'cluster',
    'verb',
    'outcome',
  ]);
  const restarts = metrics.counter('kube_watch_restarts_total', 'Watches that began again.', [
    'cluster',
    'resource',
    'reason',
  ]);
  const open = new Set<OpenWatch>();
  const labels = ['cluster', 'resource'] as const;
  metrics.kept('gauge', 'kube_watch_objects', 'Objects that watches hold.', labels, () =>
    [...open].map(({ cluster, resource, standing }) => [{ cluster, resource }, standing.size]),
  );
  metrics.kept(
    'gauge',
    'kube_watch_stale_seconds',
    'For how long an API server has not been listened to; 0 while it is.',
    labels,
    () =>
      [...stalest(open)].map(({ cluster, resource, standing }) => [
        { cluster, resource },
        standing.staleMs / 1000,
      ]),
  );
  return {
    called: (cluster, verb, outcome) => calls.inc({ cluster, verb, outcome }),
    watchRestarted: (cluster, resource, reason) => restarts.inc({ cluster, resource, reason }),
    watches(cluster, resource, standing) {
      const one = { cluster, resource, standing };
      open.add(one);
      return () => {
        open.delete(one);
      };
    },
  };
}

interface OpenWatch {
  readonly cluster: string;
  readonly resource: string;
  readonly standing: WatchStanding;
}

/** Of several watches of one kind, the one that has heard nothing for longest. */
function stalest(open: Iterable<OpenWatch>): Iterable<OpenWatch> {
  const worst = new Map<string, OpenWatch>();
  for (const one of open) {
    const key = `${one.cluster} ${one.resource}`;
    const known = worst.get(key);
    if (known === undefined || known.standing.staleMs < one.standing.staleMs) worst.set(key, one);
  }
  return worst.values();
}
