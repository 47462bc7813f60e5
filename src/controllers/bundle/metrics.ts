import type { SignetError } from '../../base/errors.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { BundlePublisher } from './publisher.ts';
import type { BundleTarget } from './target.ts';

/** Makes the metrics of all publishers of a process, and answers with the count of failures. */
export function keepBundleMetrics(
  metrics: Metrics,
  publishers: readonly BundlePublisher[],
): (cluster: string, target: string, error: SignetError) => void {
  const kept = (name: string, help: string, read: (target: BundleTarget) => number): void => {
    metrics.kept('gauge', name, help, ['cluster', 'target'], () =>
      publishers.flatMap(({ name: cluster, targets }) =>
        targets.map((target) => [{ cluster, target: target.name }, read(target)] as const),
      ),
    );
  };
  kept('kube_bundle_sequence', 'Oldest bundle that objects of a target hold.', (target) =>
    lowest([...target.objects].map(({ sequence }) => Number(sequence ?? 0n))),
  );
  kept(
    'kube_bundle_standing_timestamp_seconds',
    'Unix time of the last write, or look, that left an object as it has to be; oldest of a target.',
    (target) => lowest([...target.objects].map(({ lastStandingMs = 0 }) => lastStandingMs / 1000)),
  );
  kept(
    'kube_bundle_objects_behind',
    'Objects of a target that do not hold the bundle.',
    (target) => [...target.objects].filter(({ isCurrent }) => !isCurrent).length,
  );
  const failures = metrics.counter(
    'kube_bundle_failures_total',
    'Writes of bundles to Kubernetes that failed.',
    ['cluster', 'target', 'code'],
  );
  return (cluster, target, { code }) => failures.inc({ cluster, target, code });
}

function lowest(values: readonly number[]): number {
  return values.reduce((least, value) => Math.min(least, value), values[0] ?? 0);
}
