import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { alone, build, buildDir, has } from './build.ts';

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

/** The client of go-spiffe. */
export const goClient: WorkloadClient = {
  name: 'go-spiffe',
  hints: true,
  tellsRefusals: true,
  prepare: () =>
    alone(async () => {
      if (existsSync(join(buildDir('go'), 'peer'))) return { missing: undefined };
      if (!(await has('go'))) return { missing: 'go is not installed' };
      return build([['go', ['build', '-o', join(buildDir('go'), 'peer'), '.'], 'test/peers/go']]);
    }),
  command: (args) => [join(buildDir('go'), 'peer'), args],
};

const pythonClient: WorkloadClient = {
  name: 'Python spiffe',
  hints: false,
  tellsRefusals: false,
  prepare: () =>
    alone(async () => {
      const dir = buildDir('python');
      if (existsSync(join(dir, 'ready'))) return { missing: undefined };
      if (!(await has('python3'))) return { missing: 'python3 is not installed' };
      return build([
        ['python3', ['-m', 'venv', dir], '.'],
        [join(dir, 'bin/pip'), ['install', '-q', '-r', 'test/peers/python/requirements.txt'], '.'],
        ['touch', [join(dir, 'ready')], '.'],
      ]);
    }),
  command: (args) => [
    join(buildDir('python'), 'bin/python'),
    ['-u', 'test/peers/python/peer.py', ...args],
  ],
};

const javaClient: WorkloadClient = {
  name: 'java-spiffe',
  hints: true,
  tellsRefusals: false,
  prepare: () =>
    alone(async () => {
      const dir = buildDir('java');
      if (existsSync(join(dir, 'ready'))) return { missing: undefined };
      if (!(await has('mvn'))) return { missing: 'mvn is not installed' };
      return build([
        ['mvn', ['-q', '-B', `-DbuildDirectory=${dir}`, 'package'], 'test/peers/java'],
        ['touch', [join(dir, 'ready')], '.'],
      ]);
    }),
  command: (args) => [
    'java',
    ['-cp', `${buildDir('java')}/classes:${buildDir('java')}/lib/*`, 'Peer', ...args],
  ],
};

/** Every third-party client that the Workload API is tested with. */
export const workloadClients: readonly WorkloadClient[] = [goClient, pythonClient, javaClient];
