import type { Metrics } from '../../runtime/metrics.ts';
import type { ShownProof } from './request.ts';

/** What a process counts about enrolments. */
export interface EnrolMetrics {
  /** One ended: `ok`, `again`, or the code of its refusal, after so many seconds. */
  ended(proof: ShownProof['kind'], outcome: string, seconds: number): void;
}

/** Makes them; once for each process. */
export function createEnrolMetrics(metrics: Metrics): EnrolMetrics {
  const enrolments = metrics.counter(
    'connector_enrolments_total',
    'Enrolments of connectors, by proof and outcome: ok, again (a repetition), or the code.',
    ['proof', 'outcome'],
  );
  const seconds = metrics.seconds(
    'connector_enrolment_seconds',
    'Time to answer an enrolment, a token looked at by the API server included.',
    ['proof'],
  );
  return {
    ended(proof, outcome, took) {
      enrolments.inc({ proof, outcome });
      seconds.observe({ proof }, took);
    },
  };
}
