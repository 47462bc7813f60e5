import { execFile } from 'node:child_process';
import type { ErrorCode } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';

/** One run of a program. */
export interface ToolRun {
  readonly path: string;
  readonly args: readonly string[];
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  /** What a refusal is called. */
  readonly code: ErrorCode;
  /** Longest run; 5 s unless told. */
  readonly timeoutMs?: number;
}

const RUN_LIMIT_MS = 5000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const MAX_SAID = 200;

/** Runs a program, without a shell and for so long at most, and answers what it printed. */
export function runTool({ path, args, env, code, timeoutMs }: ToolRun): Promise<Result<string>> {
  const { promise, resolve } = Promise.withResolvers<Result<string>>();
  const limits = {
    timeout: timeoutMs ?? RUN_LIMIT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
    killSignal: 'SIGKILL' as const,
  };
  execFile(path, [...args], { ...limits, env }, (cause, stdout, stderr) => {
    if (cause === null) return resolve(ok(stdout));
    const said = stderr.trim().slice(0, MAX_SAID) || cause.message.slice(0, MAX_SAID);
    resolve(fail(code, `${path} failed: ${said}`, { cause }));
  });
  return promise;
}
