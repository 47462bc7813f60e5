import type { Clock } from '../src/base/clock.ts';
import type { SignetError } from '../src/base/errors.ts';
import type { Metrics } from '../src/runtime/metrics.ts';
import type { StreamLimits } from './endpoints/stream-limits.ts';
import type { ClockOffset } from './identity/clock-offset.ts';
import type { Identities } from './identity/identities.ts';
import type { Sync } from './identity/sync.ts';
import type { AttestationOutcome } from './workload/attestation.ts';

/** What the agent counts as it happens. */
export interface AgentMetrics {
  attested(outcome: AttestationOutcome): void;
  mintFailed(error: SignetError): void;
  /** An entry has an SVID that had none, so many milliseconds after it was wanted. */
  mintedFirst(missedMs: number): void;
}

/** What the agent's readings are taken from. */
export interface AgentReadings {
  readonly identities: Identities;
  readonly sync: Sync;
  readonly offset: ClockOffset;
  readonly limits: StreamLimits;
  /** When the agent's own SVID ends, in Unix milliseconds. */
  readonly ownSvidEndMs: () => number | undefined;
  readonly clock: Clock;
}

/** Makes the counters of what happens. */
export function createAgentMetrics(metrics: Metrics): AgentMetrics {
  const seconds = metrics.seconds(
    'workload_attestation_seconds',
    'Time that attesting a calling process took.',
  );
  const failures = metrics.counter(
    'workload_attestation_failures_total',
    'Calling processes that could not be attested.',
    ['code'],
  );
  const mints = metrics.counter(
    'svid_mint_failures_total',
    'X.509-SVIDs that the server did not mint when asked.',
    ['code'],
  );
  const missed = metrics.seconds(
    'x509_svid_missing_seconds',
    'Time from when an X.509-SVID was wanted, which is when its entry came, until it was held.',
  );
  return {
    attested(outcome) {
      seconds.observe(outcome.seconds);
      if (outcome.error !== undefined) failures.inc({ code: outcome.error.code });
    },
    mintFailed: (error) => mints.inc({ code: error.code }),
    mintedFirst: (missedMs) => missed.observe(missedMs / 1000),
  };
}

/** Adds what is read when the page is asked for: it costs nothing in between. */
export function addAgentReadings(metrics: Metrics, from: AgentReadings): void {
  const { identities, sync, offset, limits, clock } = from;
  metrics.reading('entries', 'Registration entries held.', () => identities.entryCount);
  metrics.reading('x509_svids', 'X.509-SVIDs held.', () => identities.x509.size);
  metrics.reading('jwt_svids', 'JWT-SVIDs held.', () => identities.jwt.size);
  metrics.reading(
    'x509_svid_renewal_lag_seconds',
    'The longest that a held X.509-SVID is past its time of renewal.',
    () => identities.x509.lagMs / 1000,
  );
  metrics.reading('workload_streams_open', 'Workload API streams open.', () => limits.open);
  metrics.reading('sync_pushed', '1 where the server pushes, 0 where it is polled or away.', () =>
    sync.mode === 'push' ? 1 : 0,
  );
  metrics.reading('sync_age_seconds', 'Time since the state was known to be current.', () =>
    sync.ageMs === undefined ? undefined : sync.ageMs / 1000,
  );
  metrics.reading(
    'clock_offset_seconds',
    "How far the server's clock is ahead of this machine's.",
    () => (offset.ms === undefined ? undefined : offset.ms / 1000),
  );
  metrics.reading('svid_seconds_left', "Life left of the agent's own SVID.", () => {
    const endMs = from.ownSvidEndMs();
    return endMs === undefined ? undefined : (endMs - clock.nowMs()) / 1000;
  });
}
