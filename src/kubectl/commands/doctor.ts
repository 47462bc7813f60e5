import { inParallel } from '../../base/in-parallel.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { safe } from '../../cli/text.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { clockFinding, rightFindings, servedFindings, versionFinding } from '../doctor/cluster.ts';
import { copyFindings } from '../doctor/copies.ts';
import { type Finding, findingOf } from '../doctor/finding.ts';
import { writerFindings } from '../doctor/writers.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';

/** Clusters examined at a time. */
const CLUSTERS_AT_ONCE = 4;
/** Details that a page for people has of one finding. */
const MAX_DETAILS = 5;

/** `kubectl signet doctor`. */
export const doctor: CommandSpec = {
  about:
    'Looks at what the other commands need and at what commonly goes wrong: rights, versions of the API,\n' +
    'clocks, copies that are stale, expired or hold an authority too many, and who may write rules and\n' +
    'bundles (by RBAC, where it may be listed). Each finding is Ok, a Hint, or Failed, with what to do.\n' +
    'Exit code 1 where one failed, 2 where an API server does not answer.',
  flags: [
    ...SCOPE_FLAGS,
    outputFlag(['table', 'json', 'yaml']),
    NO_HEADERS,
    ...JUDGING_FLAGS,
    ...CONNECTION_FLAGS,
  ],
  examples: ['kubectl signet doctor -A', 'kubectl signet doctor --as jane -o json'],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      const examined = await inParallel(clusters, CLUSTERS_AT_ONCE, async (cluster) => ({
        cluster,
        found: await examine(cluster, input, io),
      }));
      // What one cluster refuses does not hide the others.
      const findings = examined.flatMap(({ cluster, found }) =>
        found.ok ? found.value : unreachable(cluster, found.error.code),
      );
      if (isForPrograms(input)) await printObject('DoctorReport', { items: findings }, input, io);
      else printFindings(findings, input, io);
      for (const { found } of examined) if (!found.ok) return found;
      const failed = findings.filter(({ result }) => result === 'Failed');
      if (failed.length === 0) return ok(undefined);
      return fail('TRUST_FINDINGS', `${failed.length} of ${findings.length} checks failed`);
    }),
};

function unreachable({ context }: Cluster, code: string): Finding {
  const remedy = 'try "kubectl version" with the same flags; the message of this command says more';
  return findingOf(context, 'API server', code, 'Failed', remedy);
}

function printFindings(findings: readonly Finding[], input: Input, io: CliIo): void {
  const several = new Set(findings.map(({ context }) => context)).size > 1;
  const heads = [...(several ? ['CONTEXT'] : []), 'CHECK', 'FOUND', 'RESULT'];
  const rows = findings.map(({ context, check, found, result }) => [
    ...(several ? [context] : []),
    check,
    found,
    result,
  ]);
  printTable({ heads, rows }, input, io);
  for (const { context, check, remedy, details, result } of findings) {
    if (result === 'Ok') continue;
    io.out(`${safe(`${several ? `${context}: ` : ''}${check}: ${remedy}`)}\n`);
    for (const detail of details.slice(0, MAX_DETAILS)) io.out(`  ${safe(detail)}\n`);
    const more = details.length - MAX_DETAILS;
    if (more > 0) io.out(`  and ${more} more\n`);
  }
}

async function examine(
  cluster: Cluster,
  input: Input,
  io: CliIo,
): Promise<Result<readonly Finding[]>> {
  const version = await versionFinding(cluster);
  if (!version.ok) return version;
  const served = await servedFindings(cluster);
  const rights = await rightFindings(cluster);
  const judged = await collect(input, io, [cluster]);
  const copies = judged.ok ? judged.value.map(({ copy }) => copy) : [];
  return ok([
    version.value,
    clockFinding(cluster),
    ...served.findings,
    ...rights,
    ...copyFindings(cluster.context, judged),
    ...(await writerFindings(cluster, copies, served.podRequests)),
  ]);
}
