/**
 * Signet and stock SPIRE on this machine, one after the other, driven by the same load generator.
 * Prints a table and writes `bench-side-by-side.json`. Run it with `npm run bench:spire`; it needs Go and
 * the test rigs (`SIGNET_SHARED`).
 *
 *     npm run bench:spire -- [--runs 3] [--secs 10] [--only x509,wlapi]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Fleet } from '../support/fleet.ts';
import { freePort, run, waitForSocket } from '../support/processes.ts';
import { sharedDir } from '../support/shared.ts';
import { residentMib } from './process-figures.ts';

/** A pair of server and agent under load. */
interface Target {
  readonly label: string;
  readonly admin: string;
  readonly agent: string;
  readonly server: string;
  readonly serverPid: number;
  readonly agentPid: number;
  stop(): Promise<void>;
}

/** One line that the load generator prints for a measurement. */
interface Line {
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
}

interface Load {
  readonly name: string;
  readonly args: readonly string[];
  /** Whose CPU is counted. */
  readonly of: 'server' | 'agent';
}

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    secs: { type: 'string', default: '10' },
    only: { type: 'string', default: '' },
  },
});

const secs = ['-secs', options.secs];
const runs = ['-runs', options.runs];
const LOADS: readonly Load[] = [
  {
    name: 'x509 8x50',
    of: 'server',
    args: ['x509', '-agents', '8', '-entries', '50', '-batch', '50', ...secs, ...runs],
  },
  {
    name: 'x509 1x1',
    of: 'server',
    args: ['x509', '-agents', '1', '-entries', '1', '-batch', '1', ...secs, ...runs],
  },
  { name: 'jwt 8', of: 'server', args: ['jwt', '-agents', '8', ...secs, ...runs] },
  { name: 'mint 8', of: 'server', args: ['mint', '-c', '8', ...secs, ...runs] },
  { name: 'attest', of: 'server', args: ['attest', '-n', '300', '-c', '8', ...runs] },
  { name: 'fill', of: 'server', args: ['fill', '-n', '10000', '-runs', '1'] },
  { name: 'latency', of: 'server', args: ['latency', '-n', '30', '-pause', '500ms', '-runs', '1'] },
  { name: 'wlapi 1 new', of: 'agent', args: ['wlapi', '-entries', '1', ...secs, ...runs] },
  { name: 'wlapi 50 new', of: 'agent', args: ['wlapi', '-entries', '50', ...secs, ...runs] },
  {
    name: 'wlapi 1 reuse',
    of: 'agent',
    args: ['wlapi', '-entries', '1', '-reuse', ...secs, ...runs],
  },
];

async function must(command: string, args: readonly string[], cwd = '.'): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, { cwd });
  if (code !== 0)
    throw new TypeError(`${command} ${args.join(' ')}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}

async function startSpire(dir: string): Promise<Target> {
  const script = join(sharedDir, 'rig/spire/spire.sh');
  const port = await freePort();
  await must(script, ['up', dir, String(port)]);
  await restartWithoutHashing(script, dir);
  const pid = (who: string): number => Number(readFileSync(join(dir, `${who}.pid`), 'utf8'));
  return {
    label: 'spire',
    admin: join(dir, 'server.sock'),
    agent: join(dir, 'agent.sock'),
    server: `127.0.0.1:${port}`,
    serverPid: pid('server'),
    agentPid: pid('agent'),
    stop: async () => void (await must(script, ['down', dir])),
  };
}

/** The rig's agent hashes the caller's binary at every call, which would be all that is measured. */
async function restartWithoutHashing(script: string, dir: string): Promise<void> {
  const bin = (await must(script, ['build'])).trim();
  const pidPath = join(dir, 'agent.pid');
  process.kill(Number(readFileSync(pidPath, 'utf8')));
  const config = readFileSync(join(dir, 'agent.conf'), 'utf8');
  writeFileSync(join(dir, 'agent.conf'), config.replace('discover_workload_path = true', ''));
  const socket = ['-socketPath', join(dir, 'server.sock')];
  const agents = await must(join(bin, 'spire-server'), ['agent', 'list', ...socket]);
  const old = /(spiffe:\/\/\S+)/.exec(agents)?.[1] ?? '';
  await must(join(bin, 'spire-server'), ['agent', 'evict', ...socket, '-spiffeID', old]);
  const generated = await must(join(bin, 'spire-server'), ['token', 'generate', ...socket]);
  const token = /Token: (\S+)/.exec(generated)?.[1] ?? '';
  const agent = spawn(
    join(bin, 'spire-agent'),
    ['run', '-config', join(dir, 'agent.conf'), '-joinToken', token],
    { stdio: 'ignore' },
  );
  writeFileSync(pidPath, String(agent.pid));
  await waitForSocket(join(dir, 'agent.sock'), agent);
}

/** Rate limits off, as in the rig's SPIRE: for figures, never for tests of behaviour. */
const UNLIMITED = `limits:
  attestation: { perSecond: 0 }
  anonymousCalls: { perSecond: 0 }
  anonymousConnections: { perSecond: 0 }
  agentCalls: { perSecond: 0 }
  agentSignatures: { perSecond: 0 }
`;

async function startSignet(): Promise<Target> {
  const fleet = await Fleet.start({ serverYaml: UNLIMITED });
  return {
    label: 'signet',
    admin: fleet.adminSocket,
    agent: fleet.workloadSocket,
    server: `127.0.0.1:${fleet.port}`,
    serverPid: fleet.serverPid,
    agentPid: fleet.agentPid,
    stop: () => fleet.stop(),
  };
}

async function measure(loadgen: string, target: Target, load: Load): Promise<readonly Line[]> {
  const pid = load.of === 'server' ? target.serverPid : target.agentPid;
  const usesAgent = load.of === 'agent' || load.name === 'latency';
  const output = await must(loadgen, [
    ...load.args,
    ...['-admin', target.admin, '-server', target.server, '-td', 'example.org'],
    ...['-pid', String(pid), '-label', target.label],
    ...(usesAgent ? ['-agent', target.agent] : []),
  ]);
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
}

async function measureAll(
  loadgen: string,
  target: Target,
): Promise<readonly (Line & { load: string })[]> {
  const rest = {
    name: 'at rest',
    load: 'memory',
    figures: {
      server_mib: Math.round(residentMib(target.serverPid)),
      agent_mib: Math.round(residentMib(target.agentPid)),
    },
  };
  const wanted = options.only === '' ? [] : options.only.split(',');
  const lines: (Line & { load: string })[] = [rest];
  for (const load of LOADS) {
    if (wanted.length > 0 && !wanted.some((name) => load.name.startsWith(name))) continue;
    process.stderr.write(`${target.label}: ${load.name} …\n`);
    for (const line of await measure(loadgen, target, load))
      lines.push({ ...line, load: load.name });
  }
  return lines;
}

function printTable(all: Readonly<Record<string, readonly (Line & { load: string })[]>>): void {
  const { signet = [], spire = [] } = all;
  console.log(`| load | figure | Signet | SPIRE | ratio |\n| --- | --- | ---: | ---: | ---: |`);
  for (const line of signet) {
    const peer = spire.find(({ load, name }) => load === line.load && name === line.name);
    for (const [figure, ours] of Object.entries(line.figures)) {
      const theirs = peer?.figures[figure];
      const ratio = theirs === undefined || theirs === 0 ? '' : (ours / theirs).toFixed(2);
      console.log(
        `| ${line.load}: ${line.name} | ${figure} | ${ours} | ${theirs ?? ''} | ${ratio} |`,
      );
    }
  }
}

const dir = mkdtempSync(join(tmpdir(), 'sgn-bench-'));
try {
  const loadgen = join(dir, 'loadgen');
  await must('go', ['build', '-o', loadgen, '.'], join(sharedDir, 'bench/loadgen'));
  const results: Record<string, readonly (Line & { load: string })[]> = {};
  for (const start of [startSignet, () => startSpire(join(dir, 'spire'))]) {
    const target = await start();
    try {
      results[target.label] = await measureAll(loadgen, target);
      writeFileSync('bench-side-by-side.json', `${JSON.stringify(results, null, 2)}\n`);
    } finally {
      await target.stop();
    }
  }
  printTable(results);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
