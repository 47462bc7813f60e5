import { type ChildProcess, spawn } from 'node:child_process';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';
import { printable } from './printable.ts';

/** Most output that is kept, in bytes: reasons and events take less. */
const MAX_OUTPUT_BYTES = 64 * 1024;

/** Longest that is shown of what a program says to its stderr. */
const MAX_SAID = 200;

/** How long output is still read after the program itself has ended, in milliseconds. */
const LAST_OUTPUT_MS = 200;

/** One run of a hook's command. */
export interface HookRun {
  readonly command: readonly string[];
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Ends the run, with all that it has started. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a hook's command without a shell, in a process group of its own, and answers what it printed. It is
 * over when the program ends, even if something that it has left behind still holds its output. One that
 * takes too long is killed with its whole group. Fails with COMPANION_HOOK; never rejects.
 */
export async function runHookCommand(run: HookRun): Promise<Result<string>> {
  const { command, env, timeoutMs, signal } = run;
  const [path = '', ...args] = command;
  try {
    const child = spawn(path, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    return await follow(child, path, { timeoutMs, signal });
  } catch (cause) {
    // Some failures are thrown: an argument list that is too long, a NUL in a word.
    return fail('COMPANION_HOOK', `${path} cannot be run (${errnoCode(cause)})`, { cause });
  }
}

function follow(
  child: ChildProcess,
  path: string,
  { timeoutMs, signal }: Pick<HookRun, 'timeoutMs' | 'signal'>,
): Promise<Result<string>> {
  const { promise, resolve } = Promise.withResolvers<Result<string>>();
  const output = collect(child.stdout);
  const said = collect(child.stderr);
  let killed: string | undefined;
  const kill = (why: string): void => {
    killed ??= why;
    killGroup(child.pid);
  };
  const abort = (): void => kill('was ended with the companion');
  const timer = setTimeout(() => kill(`took longer than ${timeoutMs / 1000} s`), timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  const end = (outcome: Result<string>): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
    resolve(outcome);
  };
  const judge = (code: number | null, by: NodeJS.Signals | null): Result<string> => {
    if (killed === undefined && code === 0) return ok(output());
    const how = killed ?? (by === null ? `ended with ${code}` : `was ended by ${by}`);
    const words = printable(said().trim(), MAX_SAID);
    return fail('COMPANION_HOOK', `${path} ${how}${words === '' ? '' : `: ${words}`}`);
  };
  child.once('error', (cause) =>
    end(fail('COMPANION_HOOK', `${path} cannot be run (${errnoCode(cause)})`, { cause })),
  );
  child.once('close', (code, by) => end(judge(code, by)));
  // What it has left in the background may hold the pipes for ever.
  child.once('exit', (code, by) => setTimeout(() => end(judge(code, by)), LAST_OUTPUT_MS));
  return promise;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The whole group has ended meanwhile.
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const parts: Buffer[] = [];
  let length = 0;
  stream?.on('data', (part: Buffer) => {
    // Read to its end all the same: a full pipe would stop the program.
    if (length < MAX_OUTPUT_BYTES) parts.push(part.subarray(0, MAX_OUTPUT_BYTES - length));
    length += part.length;
  });
  return () => Buffer.concat(parts).toString('utf8');
}
