import { readFileSync, statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { cpuMs } from '../process-figures.ts';
import type { Figures } from '../report.ts';
import type { BenchCluster } from './cluster.ts';
import { podsMade } from './pods.ts';

const SECONDS = 120;

interface AuditLine {
  readonly stage: string;
  readonly verb: string;
  readonly objectRef?: { readonly resource: string; readonly name?: string };
}

/** What the server asks of the API server while nothing happens, by the API server's audit log. */
export async function measureAtRest(cluster: BenchCluster): Promise<Figures> {
  // What came before has settled by then: status and events are written once.
  await setTimeout(10_000);
  const { serverPid } = cluster.fleet;
  const from = statSync(cluster.auditPath).size;
  const cpuBeforeMs = cpuMs(serverPid);
  await setTimeout(SECONDS * 1000);
  const cpu = cpuMs(serverPid) - cpuBeforeMs;
  const lines = readFileSync(cluster.auditPath).toString('utf8', from).split('\n');
  const counts: Record<string, number> = { 'lease renewals': 0, watches: 0, 'other calls': 0 };
  const others: Record<string, number> = {};
  for (const line of lines) {
    if (line === '') continue;
    const { stage, verb, objectRef } = JSON.parse(line) as AuditLine;
    if (stage !== 'RequestReceived') continue;
    const kind =
      objectRef?.resource === 'leases'
        ? 'lease renewals'
        : verb === 'watch'
          ? 'watches'
          : 'other calls';
    counts[kind] = (counts[kind] ?? 0) + 1;
    const what = `${verb} ${objectRef?.resource} ${objectRef?.name ?? ''}`;
    if (kind !== 'watches') others[what] = (others[what] ?? 0) + 1;
  }
  console.table(others);
  const minutes = SECONDS / 60;
  const figures = (count: number): Readonly<Record<string, number>> => ({
    'a minute': count / minutes,
    'a minute and 1,000 pods': (count * 1000) / minutes / podsMade(),
  });
  return {
    'calls at rest': figures(counts['other calls'] ?? 0),
    'lease renewals at rest': figures(counts['lease renewals'] ?? 0),
    'watches begun again at rest': figures(counts.watches ?? 0),
    'CPU of the server at rest': { 'ms a minute': cpu / minutes },
  };
}
