/**
 * From the agent's first message to its SVID, with a BMC that takes two seconds for a collection: the
 * agent's alone, the server's own before the SVID, and the server's own after it. One component. Server
 * and agent are processes; the times are those of the agent's log. Prints a table and writes
 * `bench-dpu-attestation.json`.
 */
import { DpuNode } from './dpu-node.ts';
import { quantile, report } from './report.ts';

const TASK_MS = 2000;
const SAMPLES = 3;

interface Measured {
  readonly svidMs: readonly number[];
  /** Until the DPU counts as bound in both ways. */
  readonly dualMs: readonly number[];
}

async function measure(settings: string, binding: string): Promise<Measured> {
  const node = await DpuNode.start({ agentTtl: '1h', taskMs: TASK_MS, settings });
  const measured = { svidMs: [] as number[], dualMs: [] as number[] };
  try {
    for (let sample = 0; sample < SAMPLES; sample++) {
      measured.svidMs.push(await node.startAgent());
      const startedMs = performance.now();
      await node.until(
        ({ state, assessment }) => state === 'trusted' && assessment?.binding === binding,
      );
      measured.dualMs.push((measured.svidMs.at(-1) ?? 0) + performance.now() - startedMs);
      await node.dropAgent();
    }
    return measured;
  } finally {
    await node.stop();
  }
}

const rows: Record<string, Record<string, number | undefined>> = {};
for (const [name, settings, binding] of [
  ['in-band', 'binding: in-band', 'in-band'],
  ['dual, second look before', 'secondLook: before', 'dual'],
  ['dual, second look after', 'secondLook: after', 'dual'],
] as const) {
  const { svidMs, dualMs } = await measure(settings, binding);
  rows[name] = {
    'payload to SVID, median ms': quantile(svidMs, 0.5),
    'max ms': Math.max(...svidMs),
    // As seen by asking again and again, so some 100 ms late.
    'until dual, median ms': binding === 'dual' ? quantile(dualMs, 0.5) : undefined,
  };
}
report('dpu-attestation', rows);
