import type { Metrics } from '../runtime/metrics.ts';

/** Metrics of the authorities' lives. */
export type AuthorityMetrics = ReturnType<typeof createAuthorityMetrics>;

/** Makes the metrics; once for each process. */
export function createAuthorityMetrics(metrics: Metrics) {
  return {
    steps: metrics.counter('authority_steps_total', 'Authorities that entered a state', [
      'kind',
      'state',
    ]),
    failures: metrics.counter('authority_failures_total', 'Steps of authorities that failed', [
      'code',
    ]),
    activeEnd: metrics.gauge(
      'authority_active_end_seconds',
      'Unix time at which the active authority expires',
      ['kind'],
    ),
    waiting: metrics.gauge(
      'authority_propagation_waiting_agents',
      'Agents that an authority which is due to sign waits for',
      ['kind'],
    ),
    overruled: metrics.counter(
      'authority_propagation_overruled_total',
      'Authorities that sign although agents do not have their bundle yet',
      ['kind', 'reason'],
    ),
  };
}
