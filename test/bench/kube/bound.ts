import { setTimeout } from 'node:timers/promises';
import { cpuMs } from '../process-figures.ts';
import { type Figures, quantile } from '../report.ts';
import type { BenchCluster, BenchNode } from './cluster.ts';
import { type BenchPod, bind, makePods, minted } from './pods.ts';

const SINGLES = 100;
const BURST = 1_000;

/** From the acknowledged binding of a pod to its SVID in the agent's cache, alone and in bursts. */
export async function measureBound(
  cluster: BenchCluster,
): Promise<{ readonly figures: Figures; readonly pods: readonly BenchPod[] }> {
  const [first] = cluster.nodes;
  if (first === undefined) return { figures: {}, pods: [] };
  const singles: number[] = [];
  for (let index = 0; index < SINGLES; index += 1) {
    const [pod] = await makePods(cluster, 1);
    if (pod === undefined) continue;
    await setTimeout(20);
    const boundMs = await bind(cluster, pod, first);
    const at = await minted(cluster, [pod]);
    singles.push((at.get(pod.name) ?? 0) - boundMs);
  }
  const one = await burst(cluster, () => first);
  const spread = await burst(
    cluster,
    (index) => cluster.nodes[index % cluster.nodes.length] ?? first,
  );
  return {
    figures: {
      'pod bound → SVID in the agent, 1 pod (ms)': {
        p50: quantile(singles, 0.5),
        p99: quantile(singles, 0.99),
        max: Math.max(...singles),
      },
      'same, 1,000 pods of one node (ms)': one.figures,
      'same, 1,000 pods over 4 nodes (ms)': spread.figures,
    },
    pods: spread.pods,
  };
}

async function burst(cluster: BenchCluster, nodeOf: (index: number) => BenchNode) {
  const pods = await makePods(cluster, BURST);
  // The server hears of pods that no node has too.
  await setTimeout(2_000);
  const { serverPid } = cluster.fleet;
  const agentsMs = (): number => cluster.nodes.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
  const before = { server: cpuMs(serverPid), agents: agentsMs(), api: cpuMs(cluster.apiServerPid) };
  const beganMs = Date.now();
  const bound = await Promise.all(pods.map((pod, index) => bind(cluster, pod, nodeOf(index))));
  const at = await minted(cluster, pods);
  const samples = pods.map(({ name }, index) => (at.get(name) ?? 0) - (bound[index] ?? 0));
  return {
    pods,
    figures: {
      p50: quantile(samples, 0.5),
      p99: quantile(samples, 0.99),
      max: Math.max(...samples),
      'bindings take': Math.max(...bound) - beganMs,
      'all done after': Math.max(...at.values()) - beganMs,
      'CPU server': cpuMs(serverPid) - before.server,
      'CPU agents': agentsMs() - before.agents,
      'CPU API server': cpuMs(cluster.apiServerPid) - before.api,
    },
  };
}
