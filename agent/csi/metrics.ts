import type { Health } from '../../src/runtime/health.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';
import type { Published, SocketMounts } from './socket-mounts.ts';

/** What the driver counts as it happens. */
export interface CsiMetrics {
  published(outcome: Published): void;
}

/** Makes the driver's metrics; calls and their statuses are counted by the listener. */
export function createCsiMetrics(
  metrics: Metrics,
  { mounts, health }: { readonly mounts: SocketMounts; readonly health: Health },
): CsiMetrics {
  const published = metrics.counter(
    'volumes_published_total',
    'Volumes that the kubelet asked for, by what had to be done.',
    ['outcome'],
  );
  metrics.reading('mounts', 'Pods that have the folder of the socket mounted.', () =>
    mounts.count(),
  );
  metrics.reading('registered', '1 while the kubelet knows the driver.', () =>
    health.report('ready').ok ? 1 : 0,
  );
  return { published: (outcome) => published.inc({ outcome }) };
}
