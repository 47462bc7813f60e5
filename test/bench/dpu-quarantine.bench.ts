/**
 * From the verdict on a DPU whose firmware changed to the end of every workload stream below it, as the
 * workloads see it. The verdict is what the server notes as `decidedAt`. Server and agent are processes,
 * this one is all the workloads. Prints a table and writes `bench-dpu-quarantine.json`.
 */
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress, type Watch, WorkloadClient } from '../../src/client/index.ts';
import { eventually } from '../support/dev.ts';
import { DpuNode } from './dpu-node.ts';
import { quantile, report } from './report.ts';

const STREAMS = [100, 1000];
const ROUNDS = 3;
/** The agent allows a connection so many unless told. */
const STREAMS_PER_CONNECTION = 50;
/** Half of it passes before the agent attests again and the change is found. */
const AGENT_TTL = '10s';
const LIMIT_MS = 60_000;

/** Workloads that hold a stream each. */
class Workloads {
  readonly #count: number;
  readonly #clients: WorkloadClient[] = [];
  readonly #watches: Watch[] = [];
  readonly #holding = new Set<number>();
  /** Unix milliseconds at which each stream ended. */
  readonly endedMs = new Map<number, number>();

  constructor(count: number, socket: string) {
    this.#count = count;
    const address = unwrap(parseWorkloadAddress(`unix://${socket}`));
    for (let at = 0; at < count; at++) {
      if (at % STREAMS_PER_CONNECTION === 0) this.#clients.push(new WorkloadClient(address));
      this.#open(at);
    }
  }

  /** Waits until each holds an SVID; ends that came before are forgotten. */
  async hold(): Promise<void> {
    await eventually(() => this.#holding.size === this.#count, LIMIT_MS);
    this.endedMs.clear();
  }

  /** Waits until none holds an SVID. */
  async lose(): Promise<void> {
    await eventually(() => this.endedMs.size === this.#count, LIMIT_MS);
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    for (const client of this.#clients) client.close();
  }

  #open(at: number): void {
    const watch = this.#clients.at(-1)?.watchX509Context({
      onUpdate: () => {
        this.#holding.add(at);
      },
      onError: (error) => {
        if (error.statusName !== 'PermissionDenied') return;
        if (this.#holding.delete(at)) this.endedMs.set(at, Date.now());
      },
    });
    if (watch !== undefined) this.#watches.push(watch);
  }
}

/** When the last quarantine was decided, once the server has said so. */
async function decidedMs(node: DpuNode, after: number): Promise<number> {
  const last = (): number =>
    Date.parse(node.serverLog().findLast((line) => line.decidedAt)?.decidedAt ?? '') || 0;
  await eventually(() => last() > after, LIMIT_MS);
  return last();
}

/** Milliseconds from each verdict to the end of each stream, and to the last one of each round. */
async function measure(node: DpuNode, count: number): Promise<{ all: number[]; last: number[] }> {
  const workloads = new Workloads(count, node.fleet.workloadSocket);
  const measured = { all: [] as number[], last: [] as number[] };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await node.until(({ state }) => state === 'trusted');
      await workloads.hold();
      const flippedMs = Date.now();
      node.card.state.release = 'unknown';
      node.card.reboot();
      await workloads.lose();
      const verdictMs = await decidedMs(node, flippedMs);
      const took = [...workloads.endedMs.values()].map((endMs) => endMs - verdictMs);
      measured.all.push(...took);
      measured.last.push(Math.max(...took));
      node.card.state.release = 'r2';
      node.card.reboot();
      await node.until(({ assessment }) => assessment?.code === 'MEASUREMENT_MISMATCH');
      await node.release();
    }
    return measured;
  } finally {
    workloads.close();
  }
}

const node = await DpuNode.start({
  agentTtl: AGENT_TTL,
  taskMs: 0,
});
try {
  await node.startAgent();
  const uid = `unix:uid:${process.getuid?.() ?? 0}`;
  const entry = ['--spiffe-id', 'spiffe://example.org/web', '--selector', uid];
  await node.done('entry', 'create', '--parent-id', node.agentId, ...entry);
  const rows: Record<string, Record<string, number>> = {};
  for (const count of STREAMS) {
    const { all, last } = await measure(node, count);
    rows[`${count} streams, ${ROUNDS} flips`] = {
      'p50 ms': quantile(all, 0.5),
      'p99 ms': quantile(all, 0.99),
      'last stream, worst ms': Math.max(...last),
    };
  }
  report('dpu-quarantine', rows);
} finally {
  await node.stop();
}
