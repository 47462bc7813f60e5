import { cliCommands } from '../cli/commands.ts';
import type { CommandEntry } from '../cli/spec.ts';

/** The commands that run an agent. */
export const runningAgents: readonly CommandEntry[] = [
  {
    path: 'agent run',
    summary: 'Run an agent',
    load: async () => (await import('./agent-command.ts')).agentRun,
  },
  {
    path: 'agent validate',
    summary: "Check an agent's configuration file",
    load: async () => (await import('./agent-command.ts')).agentValidate,
  },
  {
    path: 'csi run',
    summary: "Run the driver that hands an agent's socket to pods",
    load: async () => (await import('./csi-command.ts')).csiRun,
  },
  {
    path: 'connector run',
    summary: 'Run the companion of a connector',
    load: async () => (await import('./connector-command.ts')).connectorRun,
  },
  {
    path: 'connector validate',
    summary: "Check a companion's configuration file",
    load: async () => (await import('./connector-command.ts')).connectorValidate,
  },
  {
    path: 'connector pre-stop',
    summary: 'Drain a connector through its companion',
    load: async () => (await import('./connector-command.ts')).connectorPreStop,
  },
  {
    path: 'connector make-key',
    summary: 'Make a key that a connector comes back by',
    load: async () => (await import('./connector-command.ts')).connectorMakeKey,
  },
];

/** What a node with an agent and no server needs of the command line. */
const ON_NODES = ['api ', 'healthcheck agent', 'version'];

/** Every command of an agent package. */
export const agentCommands: readonly CommandEntry[] = [
  ...runningAgents,
  ...cliCommands.filter(({ path }) => ON_NODES.some((word) => path.startsWith(word))),
];
