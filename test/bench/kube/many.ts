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

/** Makes pods on all nodes until there are 10,000, and waits until the agents have their SVIDs. */
export async function measureAppearing(cluster: BenchCluster): Promise<Figures> {
  const count = MANY - podsMade();
  const [first] = cluster.nodes;
  if (first === undefined) return {};
  for (const node of cluster.nodes) node.newLines();
  const beganMs = Date.now();
  const arrived = arrivals(cluster, count);
  await makePods(cluster, count, (index) => cluster.nodes[index % cluster.nodes.length] ?? first);
  const madeMs = Date.now();
  const { entriesMs, mintedMs } = await arrived;
  return {
    [`${count} pods appear`]: {
      'made in ms': madeMs - beganMs,
      'last entry after the last pod ms': entriesMs - madeMs,
      'last SVID after the last pod ms': mintedMs - madeMs,
    },
  };
}

/** Changes the rule of all pods; until each agent has each entry as it is now, and its SVID. */
export async function measureRuleChange(cluster: BenchCluster): Promise<Figures> {
  for (const node of cluster.nodes) node.newLines();
  const { serverPid } = cluster.fleet;
  const cpuBeforeMs = cpuMs(serverPid);
  const body = { spec: { spiffeIDTemplate: template('second') } };
  const arrived = arrivals(cluster, podsMade());
  await cluster.call({ verb: 'patch', path: RULE_PATH, body });
  const changedMs = Date.now();
  const { entriesMs, mintedMs } = await arrived;
  return {
    'rule change over 10,000 pods': {
      'last entry at its agent ms': entriesMs - changedMs,
      'last SVID minted ms': mintedMs - changedMs,
      'CPU ms server': cpuMs(serverPid) - cpuBeforeMs,
      'server MiB': residentMib(serverPid),
    },
  };
}

/** When the last of so many entries came to its agent, and the last SVID, in Unix milliseconds. */
async function arrivals(
  cluster: BenchCluster,
  count: number,
): Promise<{ readonly entriesMs: number; readonly mintedMs: number }> {
  let came = 0;
  let minted = 0;
  let entriesMs = 0;
  let mintedMs = 0;
  await until(async () => {
    for (const node of cluster.nodes) {
      for (const { msg, upserted = 0, timeMs } of node.newLines()) {
        if (msg === 'entries changed') {
          came += upserted;
          entriesMs = Math.max(entriesMs, timeMs);
        } else if (msg === 'minted') {
          minted += 1;
          mintedMs = Math.max(mintedMs, timeMs);
        }
      }
    }
    return came >= count && minted >= count;
  });
  return { entriesMs, mintedMs };
}
