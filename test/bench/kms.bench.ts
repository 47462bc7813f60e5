/**
 * What keys in a KMS cost: servers with local keys, delegated and sealed, and direct, measured in turns
 * by the load generator, with a KMS that takes 20 ms for a signature. Prints a table and writes
 * `bench-kms.json`. It needs Go and the load generator (`SIGNET_SHARED`). With
 * `SIGNET_BENCH_OUTAGE=600` it takes the KMS away from a delegating server under load for ten minutes instead, over
 * a renewal of its issuing CA, and tells how many SVIDs were refused; the whole takes 1.4 times that.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet, type FleetOptions } from '../support/fleet.ts';
import { freePort, run } from '../support/processes.ts';
import { sharedDir } from '../support/shared.ts';
import { quantile, report } from './report.ts';
import { type SlowKms, startSlowKms } from './slow-kms.ts';

const KMS_DELAY_MS = 20;
const ROUNDS = 3;
const SECONDS = '4';

const UNLIMITED = `limits:
  attestation: { perSecond: 0 }
  anonymousCalls: { perSecond: 0 }
  anonymousConnections: { perSecond: 0 }
  agentCalls: { perSecond: 0 }
  agentSignatures: { perSecond: 0 }
`;

/** A server under load, and what it issued and asked its KMS for so far. */
interface Target {
  readonly name: string;
  readonly fleet: Fleet;
  readonly telemetry: string;
}

const X509 = (agents: number): readonly string[] => {
  return ['x509', '-agents', String(agents), '-entries', '50', '-batch', '50'];
};
const LOADS: Readonly<Record<string, readonly string[]>> = {
  'X.509, 8 agents x 50': X509(8),
  'X.509, 1 agent x 50': X509(1),
  'JWT, 8 agents': ['jwt', '-agents', '8'],
};

async function start(name: string, options: FleetOptions): Promise<Target> {
  const port = await freePort();
  const serverYaml = `${UNLIMITED}telemetry: { address: 127.0.0.1, port: ${port} }\nlog: { level: warn }\n${options.serverYaml ?? ''}`;
  const fleet = await Fleet.start({ ...options, serverOnly: true, serverYaml });
  return { name, fleet, telemetry: `http://127.0.0.1:${port}/metrics` };
}

/** Keys in a KMS; the quota of calls is none, so that it is the KMS that is waited for. */
function kmsKeys({ url }: SlowKms): string {
  const calls = '{ perSecond: 1000000, burst: 1000000, inFlight: 1000 }';
  return `manager: aws-kms, awsKms: { region: eu-west-1, endpoint: "${url}" }, calls: ${calls}`;
}

/** The sum of a counter's series; of those whose labels fit, where it is told which. */
async function sumOf({ telemetry }: Target, metric: string, labels = /./): Promise<number> {
  const text = await (await fetch(telemetry)).text();
  const own = text.split('\n').filter((line) => line.startsWith(`signet_server_${metric}{`));
  const lines = own.filter((line) => labels.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

function putLoad(loadgen: string, { fleet }: Target, args: readonly string[], seconds: string) {
  const who = ['-pid', String(fleet.serverPid)];
  const at = ['-admin', fleet.adminSocket, '-server', `127.0.0.1:${fleet.port}`, ...who];
  return run(loadgen, [...args, ...at, '-secs', seconds]);
}

/** Takes the KMS away for so long. The issuing CA is to be renewed in the last third of it. */
async function outage(loadgen: string, kms: SlowKms, seconds: number): Promise<void> {
  const ca = `issuing: { ttl: ${2 * seconds}s }`;
  // The load generator's agents do not renew their SVIDs.
  const lives = { caTtl: '8760h', x509SvidTtl: `${seconds}s`, agentTtl: `${2 * seconds}s` };
  const target = await start('outage', { keys: kmsKeys(kms), ca, ...lives });
  try {
    const all = Math.ceil(1.4 * seconds);
    const under = putLoad(loadgen, target, X509(1), String(all));
    const pause = (part: number) => new Promise((resolve) => setTimeout(resolve, part * 1000));
    await pause(0.3 * seconds);
    const before = await sumOf(target, 'svids_total');
    kms.isDown = true;
    await pause(seconds);
    kms.isDown = false;
    const during = (await sumOf(target, 'svids_total')) - before;
    const failures = await sumOf(target, 'issuing_ca_failures_total');
    const { code, stderr, stdout } = await under;
    if (code !== 0) throw new TypeError(`loadgen: exit ${code}\n${stderr}${stdout}`);
    const refused = await sumOf(target, 'svids_total', /code="(?!ok")/);
    const rows = { 'SVIDs in the outage': during, refused, 'renewals that failed': failures };
    report('kms-outage', { [`${seconds} s without KMS, delegated`]: rows });
  } finally {
    await target.fleet.stop();
  }
}

async function measure(loadgen: string, target: Target, args: readonly string[]) {
  const calls = await sumOf(target, 'key_manager_calls_total');
  const svids = await sumOf(target, 'svids_total');
  const { code, stdout, stderr } = await putLoad(loadgen, target, args, SECONDS);
  if (code !== 0)
    throw new TypeError(`loadgen ${args.join(' ')}: exit ${code}\n${stderr}${stdout}`);
  const line = stdout.split('\n').find((each) => each.startsWith('{')) ?? '{}';
  return {
    // The load generator's own format.
    figures: (JSON.parse(line) as { figures: Readonly<Record<string, number>> }).figures,
    calls: (await sumOf(target, 'key_manager_calls_total')) - calls,
    svids: (await sumOf(target, 'svids_total')) - svids,
  };
}

/** Measures the three in turns. */
async function compare(loadgen: string, kms: (direct: boolean) => Promise<SlowKms>): Promise<void> {
  // That KMS has no wrapping key.
  const serverYaml = 'ledger: { protection: file }\n';
  const onlySigning = { ca: 'protection: direct', jwt: 'protection: direct', serverYaml };
  const targets = [
    await start('local', {}),
    await start('delegated, sealed', { keys: kmsKeys(await kms(false)) }),
    await start('direct', { keys: kmsKeys(await kms(true)), ...onlySigning }),
  ];
  for (const { fleet } of targets) stops.unshift(() => fleet.stop());
  const rows: Record<string, Record<string, number | undefined>> = {};
  for (const [load, args] of Object.entries(LOADS)) {
    const samples = targets.map((): Awaited<ReturnType<typeof measure>>[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, target] of targets.entries()) {
        process.stderr.write(`${load}: ${target.name}, round ${round + 1} …\n`);
        samples[index]?.push(await measure(loadgen, target, args));
      }
    }
    const median = (index: number, of: string): number =>
      quantile(
        (samples[index] ?? []).map(({ figures }) => figures[of] ?? 0),
        0.5,
      );
    for (const [index, { name }] of targets.entries()) {
      const cpu =
        Object.keys(samples[index]?.[0]?.figures ?? {}).find((name) =>
          name.startsWith('server_cpu_s_per_1000_'),
        ) ?? '';
      const sum = (of: 'calls' | 'svids'): number =>
        (samples[index] ?? []).reduce((total, each) => total + each[of], 0);
      rows[`${load}: ${name}`] = {
        'SVIDs/s': median(index, 'svids_per_s'),
        'of local, %': (100 * median(index, 'svids_per_s')) / median(0, 'svids_per_s'),
        'server CPU µs / SVID': 1000 * median(index, cpu),
        'p50 ms': median(index, 'rpc_p50_ms'),
        'p99 ms': median(index, 'rpc_p99_ms'),
        'KMS calls / 10,000 SVIDs': (10_000 * sum('calls')) / sum('svids'),
      };
    }
  }
  report('kms', rows);
}

const dir = mkdtempSync(join(tmpdir(), 'sgn-bench-'));
const stops: (() => Promise<void>)[] = [];
try {
  process.env.AWS_ACCESS_KEY_ID ??= 'AKIAEXAMPLE';
  process.env.AWS_SECRET_ACCESS_KEY ??= 'example';
  const loadgen = join(dir, 'loadgen');
  const built = await run('go', ['build', '-o', loadgen, '.'], {
    cwd: join(sharedDir, 'bench/loadgen'),
  });
  if (built.code !== 0) throw new TypeError(built.stderr);
  const kms = async (direct: boolean): Promise<SlowKms> => {
    const started = await startSlowKms(loadgen, { delayMs: KMS_DELAY_MS, direct });
    stops.push(() => started.stop());
    return started;
  };
  const seconds = Number(process.env.SIGNET_BENCH_OUTAGE ?? 0);
  if (seconds > 0) await outage(loadgen, await kms(false), seconds);
  else await compare(loadgen, kms);
} finally {
  for (const stop of stops) await stop();
  rmSync(dir, { recursive: true, force: true });
}
