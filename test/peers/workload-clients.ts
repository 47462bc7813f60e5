import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/processes.ts';

/** What a peer prints, one JSON object a line. */
export interface PeerEvent {
  readonly event: 'x509' | 'jwt' | 'calls' | 'error';
  readonly svids?: readonly {
    readonly id: string;
    readonly hint?: string;
    readonly serial?: string;
    readonly notAfter?: number;
    readonly verified: boolean;
  }[];
  readonly bundles?: Readonly<Record<string, number>>;
  readonly code?: string;
  readonly message?: string;
  readonly count?: number;
}

/** A Workload API client made of a third-party library. */
export interface WorkloadClient {
  readonly name: string;
  /** Whether the library shows hints. */
  readonly hints: boolean;
  /** Whether its watch tells of a refusal that it will try again after. */
  readonly tellsRefusals: boolean;
  /** Builds what is not built yet; says why when it cannot. */
  prepare(): Promise<{ readonly missing: string | undefined }>;
  /** Command line of one of the peer's commands. */
  command(args: readonly string[]): readonly [string, readonly string[]];
}

const cache = join(
  process.env.SIGNET_RIG_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'signet-rig'),
  'peers',
);

/** Folder for what is built from a peer's sources, named by their contents. */
function buildDir(name: string): string {
  const source = join('test/peers', name);
  const hash = createHash('sha256');
  const files = readdirSync(source, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) hash.update(file).update(readFileSync(file));
  const dir = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
  mkdirSync(dir, { recursive: true });
  return dir;
}

async function has(program: string): Promise<boolean> {
  return (await run('sh', ['-c', `command -v ${program}`])).code === 0;
}

/** Runs build steps; the first that fails is the reason. */
async function build(
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

const goClient: WorkloadClient = {
  name: 'go-spiffe',
  hints: true,
  tellsRefusals: true,
  async prepare() {
    if (existsSync(join(buildDir('go'), 'peer'))) return { missing: undefined };
    if (!(await has('go'))) return { missing: 'go is not installed' };
    return build([['go', ['build', '-o', join(buildDir('go'), 'peer'), '.'], 'test/peers/go']]);
  },
  command: (args) => [join(buildDir('go'), 'peer'), args],
};

const pythonClient: WorkloadClient = {
  name: 'Python spiffe',
  hints: false,
  tellsRefusals: false,
  async prepare() {
    const dir = buildDir('python');
    if (existsSync(join(dir, 'ready'))) return { missing: undefined };
    if (!(await has('python3'))) return { missing: 'python3 is not installed' };
    return build([
      ['python3', ['-m', 'venv', dir], '.'],
      [join(dir, 'bin/pip'), ['install', '-q', '-r', 'test/peers/python/requirements.txt'], '.'],
      ['touch', [join(dir, 'ready')], '.'],
    ]);
  },
  command: (args) => [
    join(buildDir('python'), 'bin/python'),
    ['-u', 'test/peers/python/peer.py', ...args],
  ],
};

const javaClient: WorkloadClient = {
  name: 'java-spiffe',
  hints: true,
  tellsRefusals: false,
  async prepare() {
    const dir = buildDir('java');
    if (existsSync(join(dir, 'ready'))) return { missing: undefined };
    if (!(await has('mvn'))) return { missing: 'mvn is not installed' };
    return build([
      ['mvn', ['-q', '-B', `-DbuildDirectory=${dir}`, 'package'], 'test/peers/java'],
      ['touch', [join(dir, 'ready')], '.'],
    ]);
  },
  command: (args) => [
    'java',
    ['-cp', `${buildDir('java')}/classes:${buildDir('java')}/lib/*`, 'Peer', ...args],
  ],
};

/** Every third-party client that the Workload API is tested with. */
export const workloadClients: readonly WorkloadClient[] = [goClient, pythonClient, javaClient];
