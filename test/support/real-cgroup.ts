import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where cgroup v2 is mounted and this process may make cgroups; undefined where it may not. */
export function writableCgroupRoot(): string | undefined {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((one) => one.split(' ')[2] === 'cgroup2');
  const root = line?.split(' ')[1];
  if (root === undefined) return undefined;
  const probe = join(root, `signet-probe-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return root;
  } catch {
    return undefined;
  }
}

/** A process that sleeps in a cgroup of its own. */
export interface InCgroup {
  readonly pid: number;
  /** Ends the process and removes the cgroups that were made for it. */
  end(): Promise<void>;
}

/** Starts a process and puts it into a cgroup, which is made; a real kernel then states where it is. */
export async function processInCgroup(root: string, path: string): Promise<InCgroup> {
  const folder = join(root, path);
  mkdirSync(folder, { recursive: true });
  const child: ChildProcess = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  writeFileSync(join(folder, 'cgroup.procs'), `${pid}`);
  return {
    pid,
    async end() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      removeUpwards(folder, root);
    },
  };
}

/** Removes cgroups from the inside out, up to one that others use. */
function removeUpwards(folder: string, root: string): void {
  if (folder === root) return;
  try {
    rmdirSync(folder);
  } catch {
    return;
  }
  removeUpwards(dirname(folder), root);
}
