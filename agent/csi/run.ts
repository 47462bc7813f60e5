import { systemClock } from '../../src/base/clock.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { onSignals, watchLifeline } from '../../src/runtime/lifecycle.ts';
import { createLogger, type LogLevel } from '../../src/runtime/log.ts';
import type { TelemetryConfig } from '../../src/runtime/telemetry.ts';
import { startDriver } from './driver.ts';
import type { CsiSettings } from './settings.ts';

/** What the command line says. */
export interface CsiOptions {
  readonly settings: CsiSettings;
  readonly telemetry: TelemetryConfig;
  readonly logLevel: LogLevel;
}

/**
 * Runs the driver in the foreground until SIGTERM, SIGINT or the end of its lifeline. Answers after a
 * clean stop, or with the reason why it did not start.
 *
 * @param version Told to the kubelet, at most 128 bytes.
 */
export async function runCsi(options: CsiOptions, version: string): Promise<Result<void>> {
  const log = createLogger({ level: options.logLevel });
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  const release = onSignals({ stop });
  const unwatch = watchLifeline(process.env, () => stop('the parent process is gone'));
  try {
    const driver = await startDriver({ ...options, log, clock: systemClock, version });
    if (!driver.ok) return driver;
    await driver.value.stop(await asked);
    return ok(undefined);
  } finally {
    unwatch();
    release();
  }
}
