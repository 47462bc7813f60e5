import { type ChildProcess, spawn } from 'node:child_process';
import { SignetError } from '../../base/errors.ts';
import { LIFELINE_VARIABLE } from '../../runtime/lifecycle.ts';

/** What `signet dev --json` says. */
export interface DevLine {
  readonly trustDomain: string;
  readonly serverAddress: string;
  readonly adminSocket: string;
  readonly workloadSocket: string;
  readonly bundlePath: string;
  readonly agentId: string;
  readonly serverPid: number;
  readonly agentPid: number;
}

/** A `signet dev` that the demo started. */
export interface DevProcess {
  readonly line: DevLine;
  stop(): Promise<void>;
}

/** Starts `signet dev --json` with these further flags; answers once it is ready. */
export async function startDevProcess(flags: readonly string[]): Promise<DevProcess> {
  const args = [...process.execArgv, process.argv[1] ?? '', 'dev', '--json', ...flags];
  const child = spawn(process.execPath, args, {
    // A group of its own: Ctrl-C is for the demo, which stops it in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, [LIFELINE_VARIABLE]: '3' },
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  };
  return { line: await firstLine(child), stop };
}

function firstLine(child: ChildProcess): Promise<DevLine> {
  return new Promise((resolve, reject) => {
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      // Our own program's line, in the form of `DevLine`.
      if (out.includes('\n')) resolve(JSON.parse(out.slice(0, out.indexOf('\n'))) as DevLine);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('error', (cause) => reject(failed(cause.message)));
    child.once('close', (code) => reject(failed(`signet dev ended (${code})\n${err.trim()}`)));
  });
}

function failed(reason: string): SignetError {
  return new SignetError('DEMO_FAILED', reason);
}
