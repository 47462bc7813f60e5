import { SignetError } from '../../base/errors.ts';
import { cliCommands } from '../../cli/commands.ts';
import { runCli } from '../../cli/run.ts';
import type { CliIo } from '../../cli/spec.ts';

/** Longest that a step without waiting for a rotation may take, in milliseconds. */
export const STEP_LIMIT_MS = 20_000;

/** Stops the demo with what did not happen as it should. */
export function check(holds: boolean, otherwise: string): void {
  if (!holds) throw new SignetError('DEMO_FAILED', otherwise);
}

/** Runs a command that operators use; answers what it printed. A refusal stops the demo. */
export async function command(argv: readonly string[], io: CliIo): Promise<string> {
  let printed = '';
  let said = '';
  const quiet: CliIo = {
    ...io,
    out: (text) => {
      printed += text;
    },
    err: (text) => {
      said += text;
    },
  };
  const code = await runCli(argv, quiet, cliCommands);
  check(code === 0, `signet ${argv.join(' ')} ended with ${code}\n${said}`);
  return printed;
}
