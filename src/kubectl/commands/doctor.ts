import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo, CommandSpec, Input } from '../../cli/spec.ts';
import { span } from '../../cli/text.ts';
import { booleanAt, textAt } from '../../kube/objects.ts';
import { pathOf } from '../../kube/resource.ts';
import { findTrustBundles } from '../../kube/trust-bundles.ts';
import { type Cluster, withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { CONNECTION_FLAGS, NO_HEADERS, outputFlag, SCOPE_FLAGS } from '../flags.ts';
import { DRIFT, isIn, JUDGING_FLAGS } from '../judging.ts';
import { isForPrograms, printObject, printTable } from '../print.ts';

/** One thing that was looked at, and what to do about it. */
interface Finding {
  readonly context: string;
  readonly check: string;
  readonly found: string;
  readonly remedy: string;
  /** What is a hint alone does not make the command end with 1. */
  readonly result: 'Ok' | 'Hint' | 'Failed';
}

/** Clocks further apart make certificates seem past or not yet valid, in milliseconds. */
const MAX_SKEW_MS = 30_000;

const RIGHTS = [
  { group: '', resource: 'configmaps', needed: true },
  { group: '', resource: 'namespaces', needed: false },
  { group: 'certificates.k8s.io', resource: 'clustertrustbundles', needed: true },
  { group: '', resource: 'secrets', needed: false },
] as const;

/** `kubectl signet doctor`. */
export const doctor: CommandSpec = {
  about:
    'Looks at what the other commands need and at what commonly goes wrong: rights, versions of the API,\n' +
    'ClusterTrustBundles, clocks, copies that differ. Exit code 1 where something has to be done.',
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
      const findings: Finding[] = [];
      for (const cluster of clusters) {
        const found = await examine(cluster, input, io);
        if (!found.ok) return found;
        findings.push(...found.value);
      }
      if (isForPrograms(input)) await printObject('DoctorReport', { items: findings }, input, io);
      else printFindings(findings, input, io);
      const failed = findings.filter(({ result }) => result === 'Failed');
      if (failed.length === 0) return ok(undefined);
      return fail('TRUST_FINDINGS', `${failed.length} of ${findings.length} checks failed`);
    }),
};

function printFindings(findings: readonly Finding[], input: Input, io: CliIo): void {
  const several = new Set(findings.map(({ context }) => context)).size > 1;
  const rows = findings.map(({ context, check, found, result }) => [
    ...(several ? [context] : []),
    check,
    found,
    result,
  ]);
  printTable(
    { heads: [...(several ? ['CONTEXT'] : []), 'CHECK', 'FOUND', 'RESULT'], rows },
    input,
    io,
  );
  for (const { check, remedy, result } of findings) {
    if (result !== 'Ok') io.out(`${check}: ${remedy}\n`);
  }
}

async function examine(
  cluster: Cluster,
  input: Input,
  io: CliIo,
): Promise<Result<readonly Finding[]>> {
  const { context, api, timeoutMs } = cluster;
  const version = await api.request({ verb: 'get', path: '/version', timeoutMs });
  if (!version.ok) return version;
  const findings: Finding[] = [
    {
      context,
      check: 'API server',
      found: textAt(version.value, 'gitVersion') ?? 'unknown',
      remedy: '',
      result: 'Ok',
    },
    clockFinding(cluster),
    await servedFinding(cluster),
  ];
  for (const right of RIGHTS) findings.push(await rightFinding(cluster, right));
  findings.push(await copiesFinding(cluster, input, io));
  return ok(findings);
}

function clockFinding({ context, api }: Cluster): Finding {
  const aheadMs = api.serverAheadMs ?? 0;
  const isFar = Math.abs(aheadMs) > MAX_SKEW_MS;
  return {
    context,
    check: 'clock',
    // The Date of HTTP has whole seconds.
    found: isFar
      ? `the API server is ${span(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? 'ahead' : 'behind'}`
      : 'together with the API server',
    remedy: 'set the clocks of this machine and of the control plane by NTP',
    result: isFar ? 'Failed' : 'Ok',
  };
}

async function servedFinding({ context, api }: Cluster): Promise<Finding> {
  const served = await findTrustBundles(api);
  return {
    context,
    check: 'ClusterTrustBundles',
    found: served.ok ? `served as ${served.value.version}` : served.error.code,
    remedy:
      'Kubernetes 1.37 serves them; before, the API server needs the feature gate ClusterTrustBundle and ' +
      '--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true',
    result: served.ok ? 'Ok' : 'Hint',
  };
}

async function rightFinding(
  { context, api, timeoutMs, namespace }: Cluster,
  { group, resource, needed }: (typeof RIGHTS)[number],
): Promise<Finding> {
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`;
  const check = `may list ${resource}`;
  const remedy = `bind a role with get and list on ${resource}${group === '' ? '' : `.${group}`} in ${where}`;
  const path = pathOf({
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'selfsubjectaccessreviews',
  });
  if (!path.ok) return { context, check, found: path.error.code, remedy, result: 'Failed' };
  const attributes = {
    verb: 'list',
    group,
    resource,
    ...(namespace === undefined ? {} : { namespace }),
  };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: attributes },
  };
  // Asks and changes nothing, though it is written as the making of an object.
  const review = await api.request({ verb: 'create', path: path.value, body, timeoutMs });
  const allowed = review.ok && booleanAt(review.value, 'status', 'allowed') === true;
  const found = review.ok ? (allowed ? 'yes' : 'no') : review.error.code;
  return { context, check, found, remedy, result: allowed ? 'Ok' : needed ? 'Failed' : 'Hint' };
}

async function copiesFinding(cluster: Cluster, input: Input, io: CliIo): Promise<Finding> {
  const { context } = cluster;
  const judged = await collect(input, io, [cluster]);
  const check = 'copies';
  const remedy = 'see "kubectl signet drift" with the same flags';
  if (!judged.ok) {
    const none = judged.error.code === 'TRUST_NOT_FOUND';
    const result = none ? 'Hint' : 'Failed';
    return { context, check, found: none ? 'none' : judged.error.code, remedy, result };
  }
  const differing = judged.value.filter((one) => isIn(one, DRIFT)).length;
  const found = `${differing} of ${judged.value.length} differ`;
  return { context, check, found, remedy, result: differing === 0 ? 'Ok' : 'Failed' };
}
