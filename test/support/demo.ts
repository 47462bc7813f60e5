import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { devFolder, eventually, SIGNET } from './dev.ts';

/** A demo that runs, with what it printed so far. */
export interface RunningDemo {
  readonly child: ChildProcess;
  /** The temporary folder that it was given. */
  readonly folder: string;
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves when it has ended and all of its output was read. */
  readonly closed: Promise<unknown>;
}

/** Command lines of the processes below a process, at any depth. */
export function descendants(pid: number): Map<number, string> {
  const found = new Map<number, string>();
  const visit = (parent: number): void => {
    for (const child of childrenOf(parent)) {
      found.set(child, readFileSync(`/proc/${child}/cmdline`, 'utf8').replaceAll('\0', ' '));
      visit(child);
    }
  };
  visit(pid);
  return found;
}

function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim() === '' ? [] : text.trim().split(' ').map(Number);
}

/** Whether a process has ended. */
export function isGone(pid: number): boolean {
  try {
    // A zombie has ended: only its parent has not asked yet.
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/\(.*\)/, ''));
  } catch {
    return true;
  }
}

/** The folder of the bundle, beside whose files demos put copies of the binary. */
export const DIST = join(process.cwd(), 'dist');

/** Folders of demos that are in it. */
export function leftInDist(): readonly string[] {
  return readdirSync(DIST).filter((name) => name.startsWith('signet-demo-'));
}

/** Starts the demo in a temporary folder of its own; the test's end kills it. */
export function startDemo(context: TestContext, ...flags: readonly string[]): RunningDemo {
  const folder = devFolder(context);
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(SIGNET, ['demo', ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return { child, folder, out: () => out, err: () => err, closed: once(child, 'close') };
}

/** Waits until a demo says something; fails with what it said instead. */
export async function untilSaid({ child, out, err }: RunningDemo, said: RegExp): Promise<void> {
  await eventually(() => said.test(out()) || child.exitCode !== null, 120_000);
  assert.match(out(), said, err());
}
