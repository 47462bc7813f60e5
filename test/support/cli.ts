import { type Clock, ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok } from '../../src/base/result.ts';
import { runCli } from '../../src/cli/run.ts';
import type { CliIo, CommandEntry, ProgramSpec } from '../../src/cli/spec.ts';

/** What a command line came to. */
export interface CliOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What surrounds a command line in a test. */
export interface CliSurroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** What somebody at the terminal answers to each question; nobody sits there without. */
  readonly answer?: (question: string) => string;
  readonly nowMs?: number;
  /** A clock that stands still at `nowMs` unless told. */
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  /** Called with everything printed so far, at each print. */
  readonly onOut?: (text: string) => void;
}

/** Runs one command line in this process and keeps what it prints. */
export async function cli(
  table: readonly CommandEntry[],
  argv: readonly string[],
  surroundings: CliSurroundings = {},
  program?: ProgramSpec,
): Promise<CliOutcome> {
  let out = '';
  let err = '';
  const io: CliIo = {
    env: surroundings.env ?? {},
    clock: surroundings.clock ?? new ManualClock(surroundings.nowMs ?? Date.now()),
    random: seededRandom(1),
    signal: surroundings.signal ?? new AbortController().signal,
    out: (text) => {
      out += text;
      surroundings.onOut?.(out);
    },
    err: (text) => {
      err += text;
    },
    ask: async (question) => surroundings.answer?.(question),
    readStdin: () => Promise.resolve(ok(Buffer.from(surroundings.stdin ?? ''))),
  };
  const code = await runCli(argv, io, table, program);
  return { code, out, err };
}
