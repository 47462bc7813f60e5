import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { DevLine } from '../../src/main/demo/dev-process.ts';
import { run } from './processes.ts';

/** The launcher of this checkout. */
export const SIGNET = join(process.cwd(), 'bin/signet');

/** A `signet dev` that runs. */
export interface Dev {
  readonly child: ChildProcess;
  readonly line: DevLine;
  /** Everything on standard output so far. */
  readonly out: () => string;
  readonly err: () => string;
  /** Runs the CLI against it. */
  cli(...argv: string[]): ReturnType<typeof run>;
  /** Ends it and answers with its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** A short folder that the test's end removes: socket paths must fit in it. */
export function devFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Starts `signet dev --json` and waits until it is ready; the test's end stops it. */
export async function startDev(context: TestContext, ...flags: string[]): Promise<Dev> {
  const child = spawn(SIGNET, ['dev', '--json', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = once(child, 'close');
  const ready = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (out.includes('\n')) resolve();
    });
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    child.kill(signal);
    await ended;
    return child.exitCode;
  };
  context.after(() => stop());
  await Promise.race([ready, ended]);
  if (!out.includes('\n')) throw new TypeError(`signet dev ended with ${child.exitCode}: ${err}`);
  const line = JSON.parse(out) as DevLine;
  const env = {
    ...process.env,
    SIGNET_SERVER_SOCKET: line.adminSocket,
    SPIFFE_ENDPOINT_SOCKET: `unix://${line.workloadSocket}`,
  };
  const cli = (...argv: string[]) => run(SIGNET, argv, { env });
  return { child, line, out: () => out, err: () => err, cli, stop };
}

/** Whether a process lives; a zombie does not. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until something holds; fails after `limitMs`. */
export async function eventually(holds: () => boolean, limitMs = 30_000): Promise<void> {
  const lastMs = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > lastMs) throw new TypeError(`not within ${limitMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
