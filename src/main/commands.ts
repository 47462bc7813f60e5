import { cliCommands } from '../cli/commands.ts';
import type { CommandEntry } from '../cli/spec.ts';
import { runningAgents } from './agent-commands.ts';

/** The commands that run something themselves. */
const running: readonly CommandEntry[] = [
  {
    path: 'dev',
    summary: 'Run a server and an agent on this machine, for trying out',
    load: async () => (await import('./dev/command.ts')).dev,
  },
  {
    path: 'demo',
    summary: 'Show in a minute what Signet does',
    load: async () => (await import('./demo/command.ts')).demo,
  },
  {
    path: 'server run',
    summary: 'Run a server',
    load: async () => (await import('./server-command.ts')).serverRun,
  },
  {
    path: 'server validate',
    summary: "Check a server's configuration file",
    load: async () => (await import('./server-command.ts')).serverValidate,
  },
  {
    path: 'server migrate',
    summary: "Bring a server's database to this version",
    load: async () => (await import('./migrate-command.ts')).serverMigrate,
  },
  {
    path: 'backup create',
    summary: "Back up a server's state into one file",
    load: async () => (await import('./backup-commands.ts')).backupCreate,
  },
  {
    path: 'backup verify',
    summary: 'Check a backup, without writing anything',
    load: async () => (await import('./backup-commands.ts')).backupVerify,
  },
  {
    path: 'backup restore',
    summary: 'Make a data directory from a backup',
    load: async () => (await import('./backup-commands.ts')).backupRestore,
  },
];

/** Every command of the program. */
export const commands: readonly CommandEntry[] = [
  ...running,
  ...runningAgents,
  ...cliCommands,
  {
    path: 'completion',
    summary: 'Print completions for bash, zsh or fish',
    load: async () => (await import('../cli/commands/completion.ts')).completion(commands),
  },
];
