import { agentConfigSchema } from '../../agent/config.ts';
import manifest from '../../package.json' with { type: 'json' };
import type { CommandSpec } from '../cli/spec.ts';
import { CLIENT_OVERRIDES } from './client-overrides.ts';
import {
  configSourceOf,
  EXPAND_ENV_FLAG,
  LOG_REFUSALS,
  loadFrom,
  type OverrideFlag,
} from './config-source.ts';
import { validateCommand } from './validate-command.ts';

const DEFAULT_CONFIG = '/etc/signet/agent.yaml';

const CONFIG_FLAG = {
  name: 'config',
  value: 'file',
  help: `YAML file; ${DEFAULT_CONFIG} unless told`,
} as const;

const OVERRIDES: readonly OverrideFlag[] = [
  { ...CLIENT_OVERRIDES.trustDomain, spire: 'trustDomain' },
  { ...CLIENT_OVERRIDES.serverAddress, spire: 'serverAddress' },
  { ...CLIENT_OVERRIDES.serverPort, spire: 'serverPort' },
  {
    name: 'trust-bundle',
    spire: 'trustBundle',
    value: 'file',
    key: 'bootstrap.bundlePath',
    kind: 'path',
    help: 'bundle that the server is verified against the first time',
  },
  {
    name: 'trust-bundle-format',
    spire: 'trustBundleFormat',
    value: 'form',
    choices: ['pem', 'spiffe'],
    key: 'bootstrap.bundleFormat',
    help: 'form of that file',
  },
  { ...CLIENT_OVERRIDES.insecureBootstrap, spire: 'insecureBootstrap' },
  {
    name: 'join-token',
    spire: 'joinToken',
    value: 'token',
    key: 'join.token',
    help: 'token to attest with; other users of the machine can see it here',
  },
  {
    name: 'join-token-file',
    spire: 'joinTokenFile',
    value: 'file',
    key: 'join.tokenPath',
    kind: 'path',
    help: 'file with the token, read at each attestation',
  },
  {
    name: 'data-dir',
    spire: 'dataDir',
    value: 'folder',
    key: 'dataDir',
    kind: 'path',
    help: 'where the agent keeps its own SVID',
  },
  {
    name: 'socket-path',
    spire: 'socketPath',
    value: 'path',
    key: 'workloadSocket.path',
    kind: 'path',
    help: 'socket of the Workload API',
  },
  {
    name: 'allow-unauthenticated-verifiers',
    spire: 'allowUnauthenticatedVerifiers',
    key: 'allowUnauthenticatedVerifiers',
    help: 'processes without an entry may validate tokens and read the own bundles',
  },
  { ...CLIENT_OVERRIDES.logLevel, spire: 'logLevel' },
];

/** `signet agent run`. */
export const agentRun: CommandSpec = {
  about: 'Flags lie over the file. SIGTERM stops.',
  flags: [CONFIG_FLAG, EXPAND_ENV_FLAG, ...OVERRIDES],
  refused: {
    ...LOG_REFUSALS,
    trustBundleUrl: 'fetch the bundle to a file and name it with --trust-bundle',
    disableWorkloadAPI: 'an agent always serves the Workload API',
    disableSDSAPI: 'there is no SDS API yet',
  },
  examples: [
    'signet agent run --config /etc/signet/agent.yaml',
    'signet agent run --trust-domain example.org --server-address server.example.org \\\n      --trust-bundle bundle.pem --join-token-file token --data-dir ./data',
  ],
  run: async (input, io) => {
    const source = configSourceOf(input, io, { fallback: DEFAULT_CONFIG, flags: OVERRIDES });
    if (!source.ok) return source;
    const { runAgent } = await import('../../agent/run.ts');
    return runAgent(() => loadFrom(source.value, agentConfigSchema), `signet/${manifest.version}`);
  },
};

/** `signet agent validate`. */
export const agentValidate: CommandSpec = validateCommand({
  program: 'agent',
  fallback: DEFAULT_CONFIG,
  configFlag: CONFIG_FLAG,
  schema: agentConfigSchema,
});
