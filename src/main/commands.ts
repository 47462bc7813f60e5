import { cliCommands } from '../cli/commands.ts';
import type { CommandEntry } from '../cli/spec.ts';

const running: readonly CommandEntry[] = [];

/** Every command of the program. */
export const commands: readonly CommandEntry[] = [
  ...running,
  ...cliCommands,
  {
    path: 'completion',
    summary: 'Print completions for bash, zsh or fish',
    load: async () => (await import('../cli/commands/completion.ts')).completion(commands),
  },
];
