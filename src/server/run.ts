import { onSignals, watchLifeline } from '../runtime/lifecycle.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { loadServerConfig } from './config.ts';
import { type RunningServer, startServer } from './server.ts';

/**
 * Runs a server in the foreground until SIGTERM, SIGINT or the end of its lifeline; SIGHUP reads the
 * configuration again. Answers the exit code: 0 after a clean stop, 1 when it could not start.
 *
 * @param report Told, in one text, why the server did not start.
 */
export async function runServer(
  configPath: string,
  report: (message: string) => void,
): Promise<number> {
  const config = await loadServerConfig(configPath);
  if (!config.ok) {
    report(`${config.error.message}\n${config.error.action}`);
    return 1;
  }
  const log = createLogger({ level: config.value.log.level });
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  let server: RunningServer | undefined;
  const release = onSignals({
    stop,
    reload: () => void (server === undefined || reload(configPath, server, log)),
  });
  const unwatch = watchLifeline(process.env, () => stop('the parent process is gone'));
  try {
    const started = await startServer(config.value, { log });
    if (!started.ok) {
      report(`${started.error.code}: ${started.error.message}\n${started.error.action}`);
      return 1;
    }
    server = started.value;
    await server.stop(await asked);
    return 0;
  } finally {
    unwatch();
    release();
  }
}

async function reload(configPath: string, server: RunningServer, log: Logger): Promise<void> {
  const next = await loadServerConfig(configPath);
  const done = next.ok ? server.reload(next.value) : next;
  if (done.ok) return;
  const { code, message, action } = done.error;
  log.error({ code, reason: message, action }, 'configuration not reloaded: the old one stays');
}
