/**
 * Signet in a cluster, with a real API server, a server and agents on four nodes, as processes of their
 * own: from the binding of a pod to its SVID, PodCertificateRequests, what it costs the API server at rest,
 * memory, a change of a rule over 10,000 pods. Needs the rig (`SIGNET_SHARED`) and takes some four minutes.
 * Prints a table and writes `bench-kube-cluster.json`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureAtRest } from './kube/at-rest.ts';
import { measureBound } from './kube/bound.ts';
import { BenchCluster } from './kube/cluster.ts';
import { measureAppearing, measureRuleChange, memoryAfterStart } from './kube/many.ts';
import { podsMade } from './kube/pods.ts';
import { measureRequests } from './kube/requests.ts';
import { type Figures, report } from './report.ts';

const scratch = mkdtempSync(join(tmpdir(), 'sgn-bench-'));
const cluster = await BenchCluster.start(scratch);
const figures: Record<string, Figures[string]> = {};
const add = (more: Figures): void => {
  for (const [row, columns] of Object.entries(more)) {
    process.stdout.write(`${JSON.stringify({ row, ...columns })}\n`);
    figures[row] = columns;
  }
};
try {
  const base = await memoryAfterStart(cluster);
  await cluster.startAgents();
  const bound = await measureBound(cluster);
  add(bound.figures);
  add(await measureRequests(cluster, bound.pods));
  add(await measureAtRest(cluster));
  add(await measureAppearing(cluster));
  add(await measureRuleChange(cluster));
  await cluster.stopAgents();
  const many = await memoryAfterStart(cluster);
  const share = podsMade() / 10_000;
  add({
    'memory after a start, no pods (MiB)': { ...base },
    'memory after a start, 10,000 pods (MiB)': { ...many },
    'memory per 10,000 pods (MiB)': {
      resident: (many.resident - base.resident) / share,
      peak: (many.peak - base.peak) / share,
    },
  });
  report('kube-cluster', figures);
} finally {
  await cluster.stop();
  rmSync(scratch, { recursive: true, force: true });
}
