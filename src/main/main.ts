import { constants } from 'node:os';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { runCli } from '../cli/run.ts';
import type { CliIo } from '../cli/spec.ts';
import { commands } from './commands.ts';

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

/** A reader that went away (`signet entry show | head`) ends the command as it does other programs. */
function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? 128 + constants.signals.SIGPIPE : 1);
    });
  }
}

/** The real process; asking for its signal takes over Ctrl-C, so only commands that wait do. */
function processIo(): CliIo {
  let abort: AbortController | undefined;
  return {
    env: process.env,
    clock: systemClock,
    random: systemRandom,
    get signal() {
      if (abort === undefined) {
        const controller = new AbortController();
        abort = controller;
        process.once('SIGINT', () => controller.abort());
        process.once('SIGTERM', () => controller.abort());
      }
      return abort.signal;
    },
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    readStdin,
  };
}

endWithReader();
process.exitCode = await runCli(process.argv.slice(2), processIo(), commands);
