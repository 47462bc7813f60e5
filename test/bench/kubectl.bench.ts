/**
 * The kubectl plugin as a user starts it: its help, and `list` and `drift` over 1,000 namespaces with a copy
 * of the bundle in each, on a real API server on this machine. Prints a table and writes
 * `bench-kubectl.json`. The API server is the rig's; nothing else runs there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { inParallel } from '../../src/base/in-parallel.ts';
import { unwrap } from '../../src/base/result.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { objectsAt, textAt } from '../../src/kube/objects.ts';
import { pathOf } from '../../src/kube/resource.ts';
import { startKubeRig } from '../peers/kube-rig.ts';
import { run } from '../support/processes.ts';
import { trustFleet } from '../support/trust-fleet.ts';
import { quantile, report } from './report.ts';

const NAMESPACES = 1000;
const RUNS = 7;

interface Run {
  readonly ms: number;
  readonly mib: number;
  /** Of the processor, in hundredths of a second as the kernel counts. */
  readonly cpuMs: number;
  readonly code: number | null;
  readonly lines: number;
}

/** One start of the plugin, with the most memory that it had. */
async function start(
  args: readonly string[],
  kubeconfig: string,
  program = 'bin/kubectl-signet',
): Promise<Run> {
  const startedMs = performance.now();
  const child = spawn(program, args, {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let lines = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === 0x0a) lines += 1;
  });
  let kib = 0;
  let cpuMs = 0;
  const sample = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      kib = Math.max(kib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
      // proc(5): the fields after the name, of which the 12th and 13th are user and system ticks.
      const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ');
      cpuMs = (Number(fields?.[11]) + Number(fields?.[12])) * 10;
    } catch {
      // It has ended.
    }
  }, 3);
  const [code] = (await once(child, 'close')) as [number | null];
  clearInterval(sample);
  return { ms: performance.now() - startedMs, mib: kib / 1024, cpuMs, code, lines };
}

async function measure(
  args: readonly string[],
  kubeconfig: string,
  code: number,
  program?: string,
) {
  const runs: Run[] = [];
  for (let index = 0; index < RUNS; index += 1) {
    const one = await start(args, kubeconfig, program);
    if (one.code !== code) throw new TypeError(`${args.join(' ')} ended with ${one.code}`);
    runs.push(one);
  }
  const times = runs.map(({ ms }) => ms);
  return {
    'median ms': quantile(times, 0.5),
    'worst ms': Math.max(...times),
    'processor ms': quantile(
      runs.map(({ cpuMs }) => cpuMs),
      0.5,
    ),
    'most MiB': Math.max(...runs.map(({ mib }) => mib)),
    lines: runs[0]?.lines,
  };
}

process.env.RIG_CONTROLLERS = '0';
const dir = mkdtempSync(join(tmpdir(), 'sgn-plugin-'));
const rig = await startKubeRig();
try {
  const { kubeconfig } = rig;
  const api = unwrap(await openKubeApi({ kubeconfigPath: kubeconfig }, { clock: systemClock }));
  const objects = objectsAt(JSON.parse(trustFleet(NAMESPACES).manifest), 'items');
  const plurals: Readonly<Record<string, string>> = {
    Namespace: 'namespaces',
    ConfigMap: 'configmaps',
    ClusterTrustBundle: 'clustertrustbundles',
  };
  const put = async (object: (typeof objects)[number]): Promise<void> => {
    const [group = '', version] = `${textAt(object, 'apiVersion')}`.includes('/')
      ? `${textAt(object, 'apiVersion')}`.split('/')
      : ['', 'v1'];
    const path = pathOf({
      group,
      version: version ?? 'v1',
      namespace: textAt(object, 'metadata', 'namespace'),
      plural: plurals[textAt(object, 'kind') ?? ''] ?? '',
    });
    unwrap(await api.request({ verb: 'create', path: unwrap(path), body: object }));
  };
  const kind = (wanted: string) => objects.filter((one) => textAt(one, 'kind') === wanted);
  await inParallel(kind('Namespace'), 8, put);
  await inParallel([...kind('ConfigMap'), ...kind('ClusterTrustBundle')], 8, put);
  api.close();
  await start(['version'], kubeconfig);
  const target = `linux-${process.arch}`;
  const build = ['build', '--kubectl', '--target', target, '--out', dir];
  const built = await run(process.execPath, ['bin/run.mjs', ...build]);
  if (built.code !== 0) throw new TypeError(built.stderr);
  const [folder] = readdirSync(dir).filter((name) => name.endsWith(target));
  const executable = join(dir, folder ?? '', 'kubectl-signet');
  report('kubectl', {
    '--help': await measure(['--help'], kubeconfig, 0),
    'list -A, 1,000 namespaces': await measure(['list', '-A'], kubeconfig, 0),
    'list -A -o json': await measure(['list', '-A', '-o', 'json'], kubeconfig, 0),
    'drift -A, 1,000 copies': await measure(['drift', '-A'], kubeconfig, 1),
    'executable: --help': await measure(['--help'], kubeconfig, 0, executable),
    'executable: list -A': await measure(['list', '-A'], kubeconfig, 0, executable),
    'size of the executable, in MiB': { MiB: statSync(executable).size / 2 ** 20 },
  });
} finally {
  await rig.stop();
  rmSync(dir, { recursive: true, force: true });
}
