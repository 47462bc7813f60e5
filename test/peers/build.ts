import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/processes.ts';

const cache = join(
  process.env.SIGNET_RIG_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'signet-rig'),
  'peers',
);

/** Folder for what is built from a peer's sources, named by their contents. */
export function buildDir(name: string): string {
  const source = join('test/peers', name);
  const hash = createHash('sha256');
  const files = readdirSync(source, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) hash.update(file).update(readFileSync(file));
  return cacheDir(`${name}-${hash.digest('hex').slice(0, 12)}`);
}

/** A folder of the cache by its name, made when missing. */
export function cacheDir(name: string): string {
  const dir = join(cache, name);
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Whether a program is on the PATH. */
export async function has(program: string): Promise<boolean> {
  return (await run('sh', ['-c', `command -v ${program}`])).code === 0;
}

/** Runs build steps; the first that fails is the reason. */
export async function build(
  steps: readonly (readonly [string, readonly string[], string])[],
): Promise<{ missing: string | undefined }> {
  for (const [command, args, cwd] of steps) {
    const { code, stderr, stdout } = await run(command, args, { cwd });
    if (code !== 0) {
      return { missing: `${command} ${args[0]} failed: ${(stderr + stdout).slice(-2000)}` };
    }
  }
  return { missing: undefined };
}

/**
 * Does what no other file of tests may do at the same time: what is built is shared by all that run side by
 * side, and whoever comes second must find it whole.
 */
export async function alone<T>(work: () => Promise<T>): Promise<T> {
  // The lock is a child's: it ends with this process, however that ends.
  const command = ['-c', 'echo held; cat >/dev/null'];
  const holder = spawn('flock', [join(cacheDir('.'), 'building'), 'sh', ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'close');
  await Promise.race([once(holder.stdout, 'data'), ended]);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
