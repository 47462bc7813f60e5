import type { Metrics } from '../runtime/metrics.ts';

/** What a process counts about its calls to API servers. */
export interface KubeMetrics {
  /** A call has ended: by cluster and verb, `ok` or the code of its refusal. */
  called(cluster: string, verb: string, outcome: string): void;
  /** A watch was begun again, and why: `closed`, or a code. */
  watchRestarted(cluster: string, resource: string, reason: string): void;
  /** Says how many objects a watch holds, for as long as the answer is not called. */
  holds(cluster: string, resource: string, count: () => number): () => void;
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
  const held = new Set<{ cluster: string; resource: string; count: () => number }>();
  metrics.kept(
    'gauge',
    'kube_watch_objects',
    'Objects that watches hold.',
    ['cluster', 'resource'],
    () => [...held].map(({ cluster, resource, count }) => [{ cluster, resource }, count()]),
  );
  return {
    called: (cluster, verb, outcome) => calls.inc({ cluster, verb, outcome }),
    watchRestarted: (cluster, resource, reason) => restarts.inc({ cluster, resource, reason }),
    holds(cluster, resource, count) {
      const one = { cluster, resource, count };
      held.add(one);
      return () => {
        held.delete(one);
      };
    },
  };
}
