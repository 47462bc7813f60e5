import type { Metrics } from '../../runtime/metrics.ts';
import type { RequestKind } from './kinds.ts';

/** What a process counts about issuers. */
export interface IssuerMetrics {
  /** A request was answered for good, so many seconds after it was seen approved. */
  answered(cluster: string, kind: RequestKind, outcome: string, seconds: number): void;
  /** A request could not be answered, by the code of the reason. */
  postponed(cluster: string, kind: RequestKind, code: string): void;
  /** Says how many approved requests of a cluster wait. */
  waiting(cluster: string, count: () => number): void;
  /** Says how many issuers of a cluster are ready, and how many not. */
  issuers(cluster: string, count: (ready: boolean) => number): void;
}

/** Makes them; once for each process. */
export function createIssuerMetrics(metrics: Metrics): IssuerMetrics {
  const answered = metrics.counter(
    'issuer_requests_total',
    'CertificateRequests and CertificateSigningRequests that were answered.',
    ['cluster', 'kind', 'outcome'],
  );
  const postponed = metrics.counter(
    'issuer_requests_postponed_total',
    'Looks at such requests that did not end with an answer, by code.',
    ['cluster', 'kind', 'code'],
  );
  const seconds = metrics.seconds(
    'issuer_request_seconds',
    'Time from seeing such a request approved to its answer.',
    ['cluster', 'kind', 'outcome'],
  );
  const waiting = new Map<string, () => number>();
  metrics.kept(
    'gauge',
    'issuer_requests_waiting',
    'Approved requests without an answer.',
    ['cluster'],
    () => [...waiting].map(([cluster, count]) => [{ cluster }, count()]),
  );
  const issuers = new Map<string, (ready: boolean) => number>();
  metrics.kept(
    'gauge',
    'issuers',
    'SignetIssuers and SignetClusterIssuers, by whether they are ready.',
    ['cluster', 'ready'],
    () =>
      [...issuers].flatMap(([cluster, count]) =>
        [true, false].map((ready) => [{ cluster, ready: String(ready) }, count(ready)] as const),
      ),
  );
  return {
    answered(cluster, kind, outcome, took) {
      answered.inc({ cluster, kind, outcome });
      seconds.observe({ cluster, kind, outcome }, took);
    },
    postponed: (cluster, kind, code) => postponed.inc({ cluster, kind, code }),
    waiting: (cluster, count) => void waiting.set(cluster, count),
    issuers: (cluster, count) => void issuers.set(cluster, count),
  };
}
