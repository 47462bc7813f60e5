import { constants } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { runCli } from '../cli/run.ts';
import type { CliIo, CommandEntry, ProgramSpec } from '../cli/spec.ts';

async function readStdin(maxBytes: number): Promise<Result<Uint8Array>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    length += chunk.length;
    if (length > maxBytes) return fail('CLI_FILE', `standard input is over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return ok(Buffer.concat(chunks));
}

async function ask(question: string, signal: AbortSignal): Promise<string | undefined> {
  const { stdin: input, stderr: output } = process;
  if (!input.isTTY || !output.isTTY) return undefined;
  const lines = createInterface({ input, output, terminal: false });
  // The end of the input, and an interrupt, are no answer.
  const ended = new Promise<undefined>((resolve) => lines.once('close', () => resolve(undefined)));
  try {
    return await Promise.race([lines.question(question, { signal }), ended]);
  } catch {
    return undefined;
  } finally {
    lines.close();
  }
}

/** The process's side of a command. */
interface Process {
  readonly io: CliIo;
  /** Ends a command that waits, so that it cleans up; false where none does. */
  interrupt(): boolean;
}

/**
 * A reader that went away (`signet entry show | head`) ends the command as it does other programs;
 * one that runs other processes (`dev`, `demo`) stops them first.
 */
function endWithReader({ interrupt }: Process): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (interrupt()) return;
      process.exit(error.code === 'EPIPE' ? 128 + constants.signals.SIGPIPE : 1);
    });
  }
}

/** The real process; asking for its signal takes over Ctrl-C, so only commands that wait do. */
function realProcess(): Process {
  let abort: AbortController | undefined;
  const interrupt = () => {
    abort?.abort();
    return abort !== undefined;
  };
  const io: CliIo = {
    env: process.env,
    clock: systemClock,
    random: systemRandom,
    get signal() {
      if (abort === undefined) {
        abort = new AbortController();
        process.once('SIGINT', interrupt);
        process.once('SIGTERM', interrupt);
      }
      return abort.signal;
    },
    colours: process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    readStdin,
    ask: (question) => ask(question, io.signal),
  };
  return { io, interrupt };
}

/** Runs the command of this process's command line, of those given, and sets the exit code. */
export async function runProgram(
  commands: readonly CommandEntry[],
  program?: ProgramSpec,
): Promise<void> {
  const real = realProcess();
  endWithReader(real);
  process.exitCode = await runCli(process.argv.slice(2), real.io, commands, program);
}
