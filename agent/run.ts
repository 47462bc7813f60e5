import { ok, type Result } from '../src/base/result.ts';
import { onSignals, watchLifeline } from '../src/runtime/lifecycle.ts';
import { createLogger } from '../src/runtime/log.ts';
import { nameSetting } from '../src/runtime/named-files.ts';
import { startAgent } from './agent.ts';
import type { AgentConfig } from './config.ts';

/** Reads the configuration, once. */
export type LoadConfig = () => Promise<Result<AgentConfig>>;

/**
 * Runs an agent in the foreground until SIGTERM, SIGINT or the end of its lifeline, or until it
 * cannot go on. Answers after a clean stop, or with the reason why it did not start or had to end.
 *
 * @param version Told to the server, at most 255 bytes.
 */
export async function runAgent(load: LoadConfig, version = 'signet'): Promise<Result<void>> {
  const config = await load();
  if (!config.ok) return config;
  const log = createLogger({ level: config.value.log.level });
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  const release = onSignals({ stop });
  const unwatch = watchLifeline(process.env, () => stop('the parent process is gone'));
  try {
    const started = await startAgent(config.value, { log, version });
    if (!started.ok) return { ok: false, error: nameSetting(started.error, config.value) };
    const agent = started.value;
    const ending = await Promise.race([asked, agent.ended]);
    if (typeof ending === 'string') {
      await agent.stop(ending);
      return ok(undefined);
    }
    await agent.stop(ending.message);
    return { ok: false, error: ending };
  } finally {
    unwatch();
    release();
  }
}
