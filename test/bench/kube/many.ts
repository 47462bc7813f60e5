import { setTimeout } from 'node:timers/promises';
import { cpuMs, peakMib, residentMib } from '../process-figures.ts';
import type { Figures } from '../report.ts';
import { type BenchCluster, until } from './cluster.ts';
import { RULE_PATH, template } from './objects.ts';
import { makePods, podsMade } from './pods.ts';

const MANY = 10_000;

/** Memory of a server that has just read everything, in MiB. */
export interface Memory {
  readonly resident: number;
  readonly peak: number;
}

/** Starts the server anew, without agents, and reads what it takes. */
export async function memoryAfterStart(cluster: BenchCluster): Promise<Memory> {
  await cluster.restartServer();
  await setTimeout(5_000);
  const { serverPid } = cluster.fleet;
  return { resident: residentMib(serverPid), peak: peakMib(serverPid) };
}

/** Makes pods on all nodes until there are 10,000, and waits until the agents have their entries. */
export async function measureAppearing(cluster: BenchCluster): Promise<Figures> {
  const count = MANY - podsMade();
  for (const node of cluster.nodes) node.newLines();
  const beganMs = Date.now();
  const [first] = cluster.nodes;
  if (first === undefined) return {};
  const arrived = arrivals(cluster, count);
  await makePods(cluster, count, (index) => cluster.nodes[index % cluster.nodes.length] ?? first);
  const madeMs = Date.now();
  const lastMs = await arrived;
  return {
    [`${count} pods appear`]: {
      'made in ms': madeMs - beganMs,
      'last entry after the last pod ms': lastMs - madeMs,
    },
  };
}

/** Changes the rule of all pods; until each agent has each entry as it is now. */
export async function measureRuleChange(cluster: BenchCluster): Promise<Figures> {
  await quiet(cluster);
  const { serverPid } = cluster.fleet;
  const cpuBeforeMs = cpuMs(serverPid);
  const body = { spec: { spiffeIDTemplate: template('second') } };
  const arrived = arrivals(cluster, podsMade());
  await cluster.call({ verb: 'patch', path: RULE_PATH, body });
  const changedMs = Date.now();
  const lastMs = await arrived;
  const cpu = cpuMs(serverPid) - cpuBeforeMs;
  const mintedMs = await quiet(cluster);
  return {
    'rule change over 10,000 pods': {
      'last entry at its agent ms': lastMs - changedMs,
      'CPU ms server': cpu,
      'last SVID minted ms': mintedMs - changedMs,
      'server MiB': residentMib(serverPid),
    },
  };
}

/** When the last of so many entries came to its agent, in Unix milliseconds. */
async function arrivals(cluster: BenchCluster, count: number): Promise<number> {
  let came = 0;
  let lastMs = 0;
  await until(async () => {
    for (const node of cluster.nodes) {
      for (const { msg, upserted = 0, timeMs } of node.newLines()) {
        if (msg !== 'entries changed') continue;
        came += upserted;
        lastMs = Math.max(lastMs, timeMs);
      }
    }
    return came >= count;
  });
  return lastMs;
}

/** Waits until agents have minted nothing for two seconds; answers when the last was, in Unix milliseconds. */
async function quiet(cluster: BenchCluster): Promise<number> {
  let lastMs = 0;
  await until(async () => {
    for (const node of cluster.nodes) {
      for (const { timeMs } of node.newLines()) lastMs = Math.max(lastMs, timeMs);
    }
    return Date.now() - lastMs > 2_000;
  });
  return lastMs;
}
