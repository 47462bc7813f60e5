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
  // Events of what came before are told twenty a second.
  let settled: readonly AuditLine[] = [];
  do {
    const since = statSync(cluster.auditPath).size;
    await setTimeout(5_000);
    settled = callsSince(cluster.auditPath, since);
  } while (settled.some((call) => kindOf(call) === 'other calls'));
  const { serverPid } = cluster.fleet;
  const from = statSync(cluster.auditPath).size;
  const cpuBeforeMs = cpuMs(serverPid);
  await setTimeout(SECONDS * 1000);
  const cpu = cpuMs(serverPid) - cpuBeforeMs;
  const counts: Record<string, number> = {};
  const others: Record<string, number> = {};
  for (const call of callsSince(cluster.auditPath, from)) {
    const kind = kindOf(call);
    counts[kind] = (counts[kind] ?? 0) + 1;
    const what = `${call.verb} ${call.objectRef?.resource} ${call.objectRef?.name ?? ''}`;
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

function kindOf({ verb, objectRef }: AuditLine): 'lease renewals' | 'watches' | 'other calls' {
  if (objectRef?.resource === 'leases') return 'lease renewals';
  return verb === 'watch' ? 'watches' : 'other calls';
}

/** What the server has asked since the log was so long. */
function callsSince(path: string, bytes: number): readonly AuditLine[] {
  const lines = readFileSync(path).toString('utf8', bytes).split('\n');
  return lines
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as AuditLine)
    .filter(({ stage }) => stage === 'RequestReceived');
}
