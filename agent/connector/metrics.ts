import type { Clock } from '../../src/base/clock.ts';
import { ERRORS } from '../../src/base/errors.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';
import type { HookEvent } from './hook-settings.ts';

/** What the companion counts as it happens. */
export interface CompanionMetrics {
  enrolled(outcome: string): void;
  renewed(outcome: 'ok' | 'refused'): void;
  sessionBegan(): void;
  hookRan(event: HookEvent, outcome: 'ok' | 'failed'): void;
  notWritten(what: string): void;
  noticed(code: string): void;
}

/** What is read whenever the metrics are asked for. */
export interface CompanionReadings {
  readonly clock: Clock;
  /** Unix milliseconds; undefined without an SVID. */
  svidEndMs(): number | undefined;
  sessionUp(): boolean;
  /** The server's clock minus ours, in milliseconds. */
  offsetMs(): number | undefined;
  segments(): number;
  flows(): number | undefined;
  draining(): boolean;
  degraded(): boolean;
}

/** Makes the companion's metrics. */
export function createCompanionMetrics(metrics: Metrics): CompanionMetrics {
  const enrolments = metrics.counter(
    'enrolments_total',
    'Enrolments, by how they came out: ok, or the code of the refusal.',
    ['outcome'],
  );
  const renewals = metrics.counter(
    'renewals_total',
    'SVIDs that came in the session, by whether they were of use.',
    ['outcome'],
  );
  const sessions = metrics.counter('sessions_total', 'Sessions that a server has welcomed.');
  const hooks = metrics.counter('hook_runs_total', 'Runs of hooks, by how they came out.', [
    'hook',
    'outcome',
  ]);
  const failures = metrics.counter('write_failures_total', 'Outputs that could not be written.', [
    'output',
  ]);
  const notices = metrics.counter('notices_total', 'What the server did not take, by its code.', [
    'code',
  ]);
  return {
    enrolled: (outcome) => enrolments.inc({ outcome }),
    renewed: (outcome) => renewals.inc({ outcome }),
    sessionBegan: () => sessions.inc(),
    hookRan: (hook, outcome) => hooks.inc({ hook, outcome }),
    notWritten: (output) => failures.inc({ output }),
    noticed: (code) => notices.inc({ code: known(code) }),
  };
}

/** A code of the table; whatever else a server says is one series. */
function known(code: string): string {
  return Object.hasOwn(ERRORS, code) ? code : 'other';
}

/** Adds what is read at each asking. */
export function addCompanionReadings(metrics: Metrics, read: CompanionReadings): void {
  const flag = (value: boolean): number => (value ? 1 : 0);
  metrics.reading('svid_seconds_left', 'Seconds until the SVID ends; negative once it has.', () => {
    const endMs = read.svidEndMs();
    return endMs === undefined ? undefined : (endMs - read.clock.nowMs()) / 1000;
  });
  metrics.reading('session_up', '1 while a session with a server is open.', () =>
    flag(read.sessionUp()),
  );
  metrics.reading(
    'clock_offset_seconds',
    "The server's clock minus this machine's, as last measured.",
    () => {
      const offsetMs = read.offsetMs();
      return offsetMs === undefined ? undefined : offsetMs / 1000;
    },
  );
  metrics.reading('segments', 'Segments that were accepted last.', () => read.segments());
  metrics.reading('active_flows', 'Open flows, where they are known.', () => read.flows());
  metrics.reading('draining', '1 while the connector takes no new flows.', () =>
    flag(read.draining()),
  );
  metrics.reading('degraded', '1 while something is not as it should be.', () =>
    flag(read.degraded()),
  );
}
