import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync } from 'node:fs';
import { LIFELINE_VARIABLE } from '../../runtime/lifecycle.ts';

/** Longest that a child may take to stop before it is killed, in milliseconds. */
const STOP_LIMIT_MS = 15_000;

/** Lines of its log that are shown when a child ended by itself. */
const SHOWN_LINES = 12;

/** A server or agent that runs as a process of its own. */
export interface DevChild {
  readonly name: 'server' | 'agent';
  readonly pid: number;
  readonly logPath: string;
  /** How it ended: `exit code 1`, `signal SIGKILL`. */
  readonly ended: Promise<string>;
  /** Asks it to stop, insists after a while, and answers when it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts this program again with other arguments. The child holds the reading end of a pipe whose
 * writing end only we have: when we are gone, however, it reads the end and stops. It leads a process
 * group of its own, so that Ctrl-C reaches us alone and we stop the children in order.
 */
export function startChild(
  name: DevChild['name'],
  args: readonly string[],
  logPath: string,
): DevChild {
  keepOldLog(logPath);
  const log = openSync(logPath, 'a', 0o600);
  const program = process.argv[1] ?? '';
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    detached: true,
    stdio: ['ignore', log, log, 'pipe'],
    env: { ...process.env, [LIFELINE_VARIABLE]: '3' },
  });
  closeSync(log);
  const ended = endOf(child);
  return {
    name,
    pid: child.pid ?? 0,
    logPath,
    ended,
    stop: async () => {
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      await ended;
      clearTimeout(kill);
    },
  };
}

/** The last lines of a log, for the message that tells of a failure. */
export function lastLines(logPath: string): string {
  try {
    return readFileSync(logPath, 'utf8').trimEnd().split('\n').slice(-SHOWN_LINES).join('\n');
  } catch {
    return '(its log cannot be read)';
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`not started: ${error.message}`));
    child.once('exit', (code, signal) =>
      resolve(code === null ? `signal ${signal}` : `exit code ${code}`),
    );
  });
}

/** One older log is kept: what a crash wrote must outlive the next start. */
function keepOldLog(path: string): void {
  try {
    renameSync(path, `${path}.1`);
  } catch {
    // There was none.
  }
}
