import { spawn } from 'node:child_process';
import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import type { IsolationHook } from './isolation.ts';

/** Longest of what a program says on its error output that is told on, in characters. */
const MAX_SAID = 500;

/** A program to be run. */
export interface ExecHook {
  /** Absolute path; no shell is between. */
  readonly path: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * Runs a program with the order as JSON on its standard input; exit code 0 is done. One that takes too
 * long is killed with what it started. It gets a PATH and nothing else of the server's environment,
 * which may hold secrets.
 */
export function createExecHook({ path, args, timeoutMs, clock }: ExecHook): IsolationHook {
  return (order, signal) => {
    const { promise, resolve } = Promise.withResolvers<Result<void>>();
    const child = spawn(path, [...args], {
      shell: false,
      // A group of its own, so that whatever it starts goes with it.
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    let said = '';
    let ended: string | undefined;
    const kill = (why: string): void => {
      ended ??= why;
      if (child.pid !== undefined) killGroup(child.pid);
      child.stderr.destroy();
    };
    const cancel = clock.after(timeoutMs, () => kill(`took longer than ${timeoutMs} ms`));
    const abort = (): void => kill('the server stops');
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const done = (result: Result<void>): void => {
      cancel();
      signal.removeEventListener('abort', abort);
      resolve(result);
    };
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, MAX_SAID);
    });
    child.on('error', (cause) => {
      done(fail('ISOLATION_FAILED', `${path} cannot be run (${errnoCode(cause)})`, { cause }));
    });
    child.on('close', (code, killed) => {
      if (code === 0 && ended === undefined) return done(ok(undefined));
      const how = ended ?? (code === null ? `was ended by ${killed}` : `ended with ${code}`);
      done(fail('ISOLATION_FAILED', `${path} ${how}${said === '' ? '' : `: ${said.trim()}`}`));
    });
    // One that does not read its input is not at fault for that.
    child.stdin.on('error', () => {});
    child.stdin.end(`${JSON.stringify(order)}\n`);
    return promise;
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
