import { ok, type Result } from '../base/result.ts';
import { onSignals, watchLifeline } from '../runtime/lifecycle.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { nameSetting } from '../runtime/named-files.ts';
import type { ServerConfig } from './config.ts';
import { type RunningServer, startServer } from './server.ts';

/** Reads the configuration: at the start, and again at every SIGHUP. */
export type LoadConfig = () => Promise<Result<ServerConfig>>;

/**
 * Runs a server in the foreground until SIGTERM, SIGINT or the end of its lifeline; SIGHUP reads the
 * configuration again. Answers after a clean stop, or with the reason why it did not start.
 */
export async function runServer(load: LoadConfig): Promise<Result<void>> {
  const config = await load();
  if (!config.ok) return config;
  const log = createLogger({ level: config.value.log.level });
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  let server: RunningServer | undefined;
  const release = onSignals({
    stop,
    reload: () => void (server === undefined || reload(load, server, log)),
  });
  const unwatch = watchLifeline(process.env, () => stop('the parent process is gone'));
  try {
    const started = await startServer(config.value, { log });
    if (!started.ok) return { ok: false, error: nameSetting(started.error, config.value) };
    server = started.value;
    await server.stop(await asked);
    return ok(undefined);
  } finally {
    unwatch();
    release();
  }
}

async function reload(load: LoadConfig, server: RunningServer, log: Logger): Promise<void> {
  const next = await load();
  const done = next.ok ? server.reload(next.value) : next;
  if (done.ok) return;
  const { code, message, action } = done.error;
  log.error({ code, reason: message, action }, 'configuration not reloaded: the old one stays');
}
