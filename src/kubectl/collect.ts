import { inParallel } from '../base/in-parallel.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { CliIo, Input } from '../cli/spec.ts';
import { safe } from '../cli/text.ts';
import type { Cluster } from './clusters.ts';
import { type ContentReader, contentReader } from './content.ts';
import { withinFlag } from './flags.ts';
import { isNamed, type JudgedCopy, judge } from './judge.ts';
import { type BundleCopy, NO_CONTENT } from './model.ts';
import { readSource } from './reference.ts';
import { configMapCopies } from './sources/config-maps.ts';
import { serverCopy } from './sources/outside.ts';
import { secretCopies } from './sources/secrets.ts';
import { trustBundleCopies } from './sources/trust-bundles.ts';

/** Clusters looked into at a time. */
const CLUSTERS_AT_ONCE = 4;

/**
 * All copies that the flags of a command mean, judged. What one source refuses does not hide the others:
 * it stands among them as Unreadable. Fails with CLI_USAGE, KUBE_UNREACHABLE, TRUST_NOT_FOUND.
 */
export async function collect(
  input: Input,
  io: CliIo,
  clusters: readonly Cluster[],
): Promise<Result<readonly JudgedCopy[]>> {
  const read = contentReader();
  const withinMs = withinFlag(input);
  if (!withinMs.ok) return withinMs;
  const found = await inParallel(clusters, CLUSTERS_AT_ONCE, (cluster) =>
    clusterCopies(cluster, input.has('secrets'), read),
  );
  const copies: BundleCopy[] = [];
  const lost = found.find((one) => !one.ok);
  // One that does not answer does not hide the others.
  if (lost !== undefined && found.every((one) => !one.ok)) return lost;
  for (const [at, cluster] of clusters.entries()) {
    const one = found[at];
    if (one === undefined) continue;
    if (!one.ok) io.err(`${safe(`not read: context ${cluster.context}: ${one.error.message}`)}\n`);
    copies.push(...orUnreadable(one, cluster, 'cluster'));
  }
  const outside = await outsideCopies(input, io, clusters, read);
  if (!outside.ok) return outside;
  copies.push(...outside.value);
  const judged = judge(copies, {
    nowMs: io.clock.nowMs(),
    withinMs: withinMs.value,
    against: input.text('against'),
  });
  const against = input.text('against');
  const isFound = judged.some(({ copy, isReference }) => isReference && isNamed(copy, against));
  if (against !== undefined && !isFound) {
    return fail(
      'TRUST_NOT_FOUND',
      `--against ${against.slice(0, 200)}: no copy there holds a bundle`,
    );
  }
  const wanted = input.text('trust-domain');
  // A source that may not be read could hold copies of any trust domain.
  const kept = judged.filter(
    ({ trustDomain, copy }) =>
      wanted === undefined ||
      trustDomain === wanted ||
      (copy.problem !== undefined && copy.place.name === '*'),
  );
  return kept.length > 0 ? ok(kept) : notFound(clusters, wanted);
}

function notFound(clusters: readonly Cluster[], wanted: string | undefined): Result<never> {
  const where = clusters.map(({ context, namespace }) =>
    namespace === undefined ? context : `namespace ${namespace} of ${context}`,
  );
  const what = wanted === undefined ? 'no bundle' : `no bundle of ${wanted}`;
  return fail('TRUST_NOT_FOUND', `${what} in ${where.join(', ')}`);
}

/** Refusals after which asking the cluster anything else is in vain. */
const HOPELESS = ['KUBE_UNREACHABLE', 'KUBE_CREDENTIALS', 'KUBE_CONFIG', 'KUBE_ANSWER'];

async function clusterCopies(
  cluster: Cluster,
  withSecrets: boolean,
  read: ContentReader,
): Promise<Result<readonly BundleCopy[]>> {
  const [maps, bundles, secrets] = await Promise.all([
    configMapCopies(cluster, read),
    trustBundleCopies(cluster, read),
    withSecrets ? secretCopies(cluster, read) : ok([]),
  ]);
  const lost = [...maps.map(({ problem }) => problem), bundles.ok ? undefined : bundles.error].find(
    (problem) => problem !== undefined && HOPELESS.includes(problem.code),
  );
  if (lost !== undefined) return { ok: false, error: lost };
  return ok([
    ...orUnreadable(bundles, cluster, 'ctb'),
    ...maps,
    ...orUnreadable(secrets, cluster, 'secret'),
  ]);
}

function orUnreadable(
  copies: Result<readonly BundleCopy[]>,
  { context, namespace = '*' }: Cluster,
  source: 'cluster' | 'ctb' | 'secret',
): readonly BundleCopy[] {
  if (copies.ok) return copies.value;
  const within = source === 'secret' ? namespace : '';
  return [
    {
      place: { context, source, namespace: within, name: '*', key: undefined },
      trustDomain: undefined,
      content: NO_CONTENT,
      sequence: undefined,
      isPublished: false,
      problem: copies.error,
    },
  ];
}

/** The server's bundle where its socket is named, and the sources of --source. */
async function outsideCopies(
  input: Input,
  io: CliIo,
  clusters: readonly Cluster[],
  read: ContentReader,
): Promise<Result<readonly BundleCopy[]>> {
  const copies: BundleCopy[] = [];
  const against = input.text('against');
  const isSocket = input.text('server-socket') ?? io.env.SIGNET_SERVER_SOCKET;
  if (isSocket !== undefined || against === 'server') {
    const server = await serverCopy(input, io);
    if (!server.ok) return server;
    copies.push(server.value);
  }
  for (const text of input.texts('source')) {
    const copy = await readSource(text, { clusters, input, io, read });
    if (!copy.ok) return copy;
    copies.push(copy.value);
  }
  return ok(copies);
}
