import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { LedgerFiles } from '../ledger/files.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { BodyHold } from '../ledger/retention.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Follower, openFollower } from './follower.ts';
import { openSink } from './open-sink.ts';
import type { AuditConfig } from './settings.ts';

/** What all sinks share. */
export interface AuditParts {
  readonly files: LedgerFiles;
  readonly ledger: Pick<Ledger, 'checkpoint' | 'onCheckpoint'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The running sinks. */
export interface Audit {
  /** Bodies that retention leaves for them. */
  readonly holds: readonly BodyHold[];
  /** Opens files by their path again. */
  reopen(): void;
  close(): Promise<void>;
}

/**
 * Starts every configured sink at its cursor. None of them is waited for: what is down is tried again
 * in the background. Fails with AUDIT_SETTINGS, AUDIT_CURSOR_INVALID or AUDIT_CURSOR_AHEAD.
 */
export async function startAudit(config: AuditConfig, parts: AuditParts): Promise<Result<Audit>> {
  const followers: Follower[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(followers.map((each) => each.close()));
  };
  for (const each of config.sinks) {
    const sink = await openSink(each);
    const follower = sink.ok
      ? await openFollower({
          ...parts,
          name: each.name,
          sink: sink.value,
          maxRecords: each.maxRecords,
          alarmAfterMs: each.alarmAfter * 1000,
          holdForMs: each.holdFor * 1000,
        })
      : sink;
    if (!follower.ok) {
      await close();
      return follower;
    }
    followers.push(follower.value);
  }
  for (const follower of followers) follower.start();
  watchFollowers(followers, parts.metrics);
  return ok({
    get holds() {
      return followers.map(({ hold }) => hold);
    },
    reopen: () => void Promise.all(followers.map((each) => each.reopen())),
    close,
  });
}

function watchFollowers(followers: readonly Follower[], metrics: Metrics): void {
  const show = (
    kind: 'counter' | 'gauge',
    name: string,
    help: string,
    read: (follower: Follower) => number,
  ): void =>
    metrics.kept(kind, name, help, ['sink'], () =>
      followers.map((each) => [{ sink: each.name }, read(each)] as const),
    );
  show('gauge', 'audit_lag_records', 'Covered records that a sink has not had.', (each) => {
    return each.lagRecords;
  });
  show('gauge', 'audit_lag_seconds', 'How long ago the oldest of them was written.', (each) => {
    return each.lagMs / 1000;
  });
  show('gauge', 'audit_late', '1 while the lag is past alarmAfter.', (each) => Number(each.late));
  show('counter', 'audit_delivered_records_total', 'Records that a sink took.', (each) => {
    return each.counts.delivered;
  });
  show('counter', 'audit_failed_deliveries_total', 'Deliveries that failed.', (each) => {
    return each.counts.failed;
  });
  show(
    'counter',
    'audit_dropped_records_total',
    'Records dropped before a sink had them.',
    (each) => each.counts.dropped,
  );
}
