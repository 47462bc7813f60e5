import { ok, type Result } from '../../src/base/result.ts';
import { onSignals, watchLifeline } from '../../src/runtime/lifecycle.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { nameSetting } from '../../src/runtime/named-files.ts';
import type { ConnectorConfig } from './config.ts';
import { startCompanion } from './start.ts';

/**
 * Runs a companion in the foreground until SIGTERM, SIGINT or the end of its lifeline, which drain it first,
 * or until it is revoked. Answers after a clean stop, or with the reason why it did not start or had to end.
 *
 * @param version Told to the server.
 */
export async function runConnector(
  load: () => Promise<Result<ConnectorConfig>>,
  version: string,
): Promise<Result<void>> {
  const config = await load();
  if (!config.ok) return config;
  const log = createLogger({ level: config.value.log.level });
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  const release = onSignals({ stop });
  const unwatch = watchLifeline(process.env, () => stop('the parent process is gone'));
  try {
    const started = await startCompanion(config.value, { log, version });
    if (!started.ok) return { ok: false, error: nameSetting(started.error, config.value) };
    const companion = started.value;
    const ending = await Promise.race([asked, companion.ended]);
    if (typeof ending === 'string') {
      await Promise.race([companion.leave(), companion.ended]);
      await companion.stop(ending);
      return ok(undefined);
    }
    await companion.stop(ending.message);
    return { ok: false, error: ending };
  } finally {
    unwatch();
    release();
  }
}
