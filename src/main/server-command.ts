import type { CommandSpec } from '../cli/spec.ts';
import { serverConfigSchema } from '../server/config.ts';
import {
  configSourceOf,
  EXPAND_ENV_FLAG,
  LOG_REFUSALS,
  loadFrom,
  type OverrideFlag,
} from './config-source.ts';
import { validateCommand } from './validate-command.ts';

/** The server's configuration file unless one is given. */
export const DEFAULT_CONFIG = '/etc/signet/server.yaml';

/** Flag of everything that reads the server's configuration file. */
export const CONFIG_FLAG = {
  name: 'config',
  value: 'file',
  help: `YAML file; ${DEFAULT_CONFIG} unless told`,
} as const;

/** The flags that say whose state is meant, and where it is; they lie over the file. */
export const STATE_OVERRIDES: readonly OverrideFlag[] = [
  {
    name: 'trust-domain',
    spire: 'trustDomain',
    value: 'name',
    key: 'trustDomain',
    help: 'trust domain of the server',
  },
  {
    name: 'data-dir',
    spire: 'dataDir',
    value: 'folder',
    key: 'dataDir',
    kind: 'path',
    help: 'where the state is kept',
  },
];

const OVERRIDES: readonly OverrideFlag[] = [
  ...STATE_OVERRIDES,
  {
    name: 'bind-address',
    spire: 'bindAddress',
    value: 'address',
    key: 'listen.address',
    help: 'address of the port for agents',
  },
  {
    name: 'server-port',
    spire: 'serverPort',
    value: 'port',
    key: 'listen.port',
    kind: 'number',
    help: 'port for agents',
  },
  {
    name: 'socket-path',
    spire: 'socketPath',
    value: 'path',
    key: 'adminSocket.path',
    kind: 'path',
    help: 'admin socket',
  },
  {
    name: 'log-level',
    spire: 'logLevel',
    value: 'level',
    key: 'log.level',
    kind: 'lowercase',
    help: 'debug, info, warn, error or silent',
  },
];

/** `signet server run`. */
export const serverRun: CommandSpec = {
  about: 'Flags lie over the file. SIGHUP reads the file again; SIGTERM stops.',
  flags: [CONFIG_FLAG, EXPAND_ENV_FLAG, ...OVERRIDES],
  refused: LOG_REFUSALS,
  examples: [
    'signet server run --config /etc/signet/server.yaml',
    'signet server run --trust-domain example.org --data-dir ./data --socket-path ./api.sock',
  ],
  run: async (input, io) => {
    const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: OVERRIDES });
    if (!source.ok) return source;
    const { runServer } = await import('../server/run.ts');
    return runServer(() => loadFrom(source.value, serverConfigSchema));
  },
};

/** `signet server validate`. */
export const serverValidate: CommandSpec = validateCommand({
  program: 'server',
  fallback: DEFAULT_CONFIG,
  configFlag: CONFIG_FLAG,
  schema: serverConfigSchema,
});
