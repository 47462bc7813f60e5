import type { Metrics } from '../../runtime/metrics.ts';

/** What a process counts about pod certificates. */
export interface PodCertificateMetrics {
  /** A request was answered, so many seconds after it was seen. */
  answered(cluster: string, outcome: string, seconds: number): void;
  /** A request could not be answered, by the code of the reason. */
  postponed(cluster: string, code: string): void;
  /** Says how many requests of a cluster wait; of several signers, one after another. */
  waiting(cluster: string, count: () => number): void;
}

/** Makes them; once for each process. */
export function createPodCertificateMetrics(metrics: Metrics): PodCertificateMetrics {
  const answered = metrics.counter(
    'pod_certificates_total',
    'PodCertificateRequests that were answered.',
    ['cluster', 'outcome'],
  );
  const postponed = metrics.counter(
    'pod_certificates_postponed_total',
    'Looks at PodCertificateRequests that did not end with an answer, by code.',
    ['cluster', 'code'],
  );
  const seconds = metrics.seconds(
    'pod_certificate_seconds',
    'Time from seeing a PodCertificateRequest to its answer.',
    ['cluster', 'outcome'],
  );
  const counts = new Map<string, (() => number)[]>();
  metrics.kept(
    'gauge',
    'pod_certificates_waiting',
    'PodCertificateRequests without an answer.',
    ['cluster'],
    () =>
      [...counts].map(([cluster, each]) => [
        { cluster },
        each.reduce((sum, count) => sum + count(), 0),
      ]),
  );
  return {
    answered(cluster, outcome, took) {
      answered.inc({ cluster, outcome });
      seconds.observe({ cluster, outcome }, took);
    },
    postponed: (cluster, code) => postponed.inc({ cluster, code }),
    waiting: (cluster, count) => void counts.set(cluster, [...(counts.get(cluster) ?? []), count]),
  };
}
