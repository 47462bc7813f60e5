import { loadServerConfig } from '../../src/server/config.ts';
import { runServer } from '../../src/server/run.ts';

/** A server as a process of its own, from the sources: `server-child.ts CONFIG`. */
const ended = await runServer(() => loadServerConfig(process.argv[2] ?? ''));
if (!ended.ok) {
  process.stderr.write(`${ended.error.code}: ${ended.error.message}\n`);
  process.exitCode = 1;
}
