import type { Clock } from '../../../src/base/clock.ts';
import { ok, type Result } from '../../../src/base/result.ts';
import type { Logger } from '../../../src/runtime/log.ts';
import type { Metrics } from '../../../src/runtime/metrics.ts';
import type { ConnectorWatcher, WatchedConnector } from '../watcher.ts';
import { LogFollower } from './follow-log.ts';
import { daysUntil, isEnrolled, judgeZpa, noStatus, takeFact, type ZpaStatus } from './judge.ts';
import { type LinePatterns, readPatterns } from './patterns.ts';
import type { ZpaSettings } from './settings.ts';
import { readStatusLine } from './status-line.ts';

/** What a watcher stands on. */
export interface ZpaWatcherParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The watcher of an App Connector. */
export interface ZpaWatcher extends ConnectorWatcher {
  /**
   * Whether the App Connector is seen to have enrolled, by what it said since it is watched: the log may
   * lie on a volume that another one wrote to before.
   */
  readonly enrolled: boolean;
}

/** Watches the log of the ZPA App Connector beside; a log that is not there yet is waited for. */
export async function startZpaWatcher(
  settings: ZpaSettings,
  parts: ZpaWatcherParts,
): Promise<Result<ZpaWatcher>> {
  const watcher = new LogWatcher(settings, parts);
  await watcher.start();
  return ok(watcher);
}

class LogWatcher implements ZpaWatcher {
  readonly name = 'zpa';
  readonly #settings: ZpaSettings;
  readonly #parts: ZpaWatcherParts;
  readonly #patterns: LinePatterns;
  readonly #follower: LogFollower;
  readonly #listeners = new Set<() => void>();
  #status: ZpaStatus;
  /** What was said after the first look. */
  #fresh: ZpaStatus;
  #told: WatchedConnector;

  constructor(settings: ZpaSettings, parts: ZpaWatcherParts) {
    const { clock, log, metrics } = parts;
    this.#settings = settings;
    this.#parts = parts;
    this.#patterns = readPatterns(settings.patterns);
    this.#status = noStatus(clock.nowMs());
    this.#fresh = this.#status;
    this.#told = this.current();
    this.#follower = new LogFollower(settings.logPath, clock, {
      onLine: (line) => this.#take(line),
      onRound: () => this.#tell(),
      onFault: (reason) => log.warn({ reason }, 'the log of the App Connector cannot be read'),
    });
    this.#measure(metrics);
  }

  get enrolled(): boolean {
    return isEnrolled(this.#fresh);
  }

  async start(): Promise<void> {
    await this.#follower.start();
    this.#fresh = noStatus(this.#parts.clock.nowMs());
  }

  current(): WatchedConnector {
    return judgeZpa(this.#status, this.#settings, this.#parts.clock.nowMs());
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    return this.#follower.close();
  }

  #take(line: string): void {
    const nowMs = this.#parts.clock.nowMs();
    for (const fact of readStatusLine(line, this.#patterns)) {
      this.#status = takeFact(this.#status, fact, nowMs);
      this.#fresh = takeFact(this.#fresh, fact, nowMs);
    }
  }

  #tell(): void {
    const now = this.current();
    const before = this.#told;
    this.#told = now;
    if (now.health === before.health && now.reason === before.reason) return;
    const { health, reason } = now;
    const level = health === 'degraded' ? 'warn' : 'info';
    this.#parts.log[level]({ health, reason }, 'App Connector');
    for (const listener of this.#listeners) listener();
  }

  #measure(metrics: Metrics): void {
    const { clock } = this.#parts;
    const days = 'Days until the certificate of the App Connector ends; NaN where it is not known.';
    metrics.reading('zpa_certificate_days', days, () =>
      daysUntil(this.#status.certificateEndMs, clock.nowMs()),
    );
    const control = '1 while the App Connector has its control connection; NaN where not known.';
    metrics.reading('zpa_control_connected', control, () => {
      if (this.#status.control === undefined) return undefined;
      return this.#status.disconnectedSinceMs === undefined ? 1 : 0;
    });
    const skew = 'Seconds between the clock of the App Connector and that of its cloud.';
    metrics.reading('zpa_clock_skew_seconds', skew, () => this.#status.skewSeconds);
    const silent = 'Seconds since the App Connector wrote a status.';
    metrics.reading('zpa_status_age_seconds', silent, () => {
      return (clock.nowMs() - this.#status.heardAtMs) / 1000;
    });
  }
}
