import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { CliIo, Input } from '../cli/spec.ts';
import { type KubeApi, kubeApiOf } from '../kube/kube-api.ts';
import { type KubeObject, objectsAt, textAt } from '../kube/objects.ts';
import { type KubePlace, kubeconfigsOnce, type ReadKubeconfig, readAccess } from '../kube/place.ts';
import { type KubeResource, pathOf } from '../kube/resource.ts';
import { durationFlag, overridesOf } from './flags.ts';

/** A cluster that is looked into. */
export interface Cluster {
  /** Context of the kubeconfig; `in-cluster` inside a pod. */
  readonly context: string;
  readonly api: KubeApi;
  /** Namespace to look in; undefined for all. */
  readonly namespace: string | undefined;
  /** Namespace of names that say none. */
  readonly home: string;
  /** Label selector of objects; empty for none. */
  readonly selector: string;
  readonly timeoutMs: number;
  /** The way to it as kubectl is told, for what only kubectl does. */
  readonly kubectlArgs: readonly string[];
}

const TIMEOUT_MS = 30_000;
/** Objects of one page of a list, as kubectl asks for. */
const PAGE_SIZE = 500;

/** Whether a command looks for objects (-A, -l), or takes names alone. */
export type Looks = 'objects' | 'names';

/** Opens the clusters that the flags name, and runs `work` with them. Fails with KUBE_CONFIG, CLI_USAGE. */
export async function withClusters<T>(
  input: Input,
  io: CliIo,
  work: (clusters: readonly Cluster[]) => Promise<Result<T>>,
  looks: Looks = 'objects',
): Promise<Result<T>> {
  const clusters: Cluster[] = [];
  const readOne = kubeconfigsOnce();
  try {
    const contexts = input.texts('context');
    for (const context of contexts.length === 0 ? [undefined] : new Set(contexts)) {
      const cluster = await openCluster(input, io, { context, looks, readOne });
      if (!cluster.ok) return cluster;
      clusters.push(cluster.value);
    }
    return await work(clusters);
  } finally {
    for (const { api } of clusters) api.close();
  }
}

interface Opening {
  readonly context: string | undefined;
  readonly looks: Looks;
  readonly readOne: ReadKubeconfig;
}

async function openCluster(
  input: Input,
  io: CliIo,
  { context, looks, readOne }: Opening,
): Promise<Result<Cluster>> {
  const timeoutMs = durationFlag(input, 'request-timeout', TIMEOUT_MS);
  if (!timeoutMs.ok) return timeoutMs;
  const instead = overridesOf(input, io.env);
  if (!instead.ok) return instead;
  const kubeconfigPaths = kubeconfigsOf(input, io);
  const place: KubePlace = { kubeconfigPaths, context, instead: instead.value };
  const access = await readAccess(place, readOne);
  if (!access.ok) return access;
  const { context: name = 'in-cluster', namespace: own = 'default' } = access.value;
  const home = input.text('namespace') ?? own;
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(home)) {
    return flagError('namespace', `${JSON.stringify(home.slice(0, 80))} can be no namespace`);
  }
  return ok({
    context: name,
    api: kubeApiOf(place, access.value, { clock: io.clock, name }),
    namespace: looks === 'objects' && input.has('all-namespaces') ? undefined : home,
    home,
    selector: looks === 'objects' ? (input.text('selector') ?? '') : '',
    timeoutMs: timeoutMs.value,
    kubectlArgs: kubectlArgsOf(input, name),
  });
}

/** As kubectl finds them: the flag, those of KUBECONFIG that are there, the one at home; none in a pod. */
function kubeconfigsOf(input: Input, { env }: CliIo): readonly string[] {
  const given = input.text('kubeconfig');
  if (given !== undefined) return [given];
  const listed = (env.KUBECONFIG ?? '').split(':').filter((path) => path !== '');
  const there = listed.filter(existsSync);
  if (listed.length > 0) return there.length > 0 ? there : listed.slice(0, 1);
  const atHome = join(env.HOME ?? '/', '.kube/config');
  return existsSync(atHome) || env.KUBERNETES_SERVICE_HOST === undefined ? [atHome] : [];
}

/** Flags that are passed on to kubectl as they were given. */
const PASSED_ON = [
  'kubeconfig',
  'cluster',
  'user',
  'as',
  'as-uid',
  'server',
  'tls-server-name',
  'certificate-authority',
  'client-certificate',
  'client-key',
  'token',
];

function kubectlArgsOf(input: Input, context: string): readonly string[] {
  const args = PASSED_ON.flatMap((flag) => {
    const value = input.text(flag);
    return value === undefined ? [] : [`--${flag}=${value}`];
  });
  const groups = input.texts('as-group').map((group) => `--as-group=${group}`);
  return [...(context === 'in-cluster' ? [] : [`--context=${context}`]), ...args, ...groups];
}

/** Selectors of a list. */
export interface Selectors {
  readonly label?: string | undefined;
  readonly field?: string | undefined;
}

/** Lists by pages and hands each object on, so that no more than a page is held. Errors: KUBE_*. */
export async function eachObject(
  { api, timeoutMs }: Pick<Cluster, 'api' | 'timeoutMs'>,
  resource: KubeResource,
  { label, field }: Selectors,
  take: (object: KubeObject) => void,
): Promise<Result<void>> {
  const path = pathOf(resource);
  if (!path.ok) return path;
  let next: string | undefined;
  do {
    const query = {
      limit: String(PAGE_SIZE),
      ...(label === undefined || label === '' ? {} : { labelSelector: label }),
      ...(field === undefined ? {} : { fieldSelector: field }),
      ...(next === undefined ? {} : { continue: next }),
    };
    const page = await api.request({ verb: 'list', path: path.value, query, timeoutMs });
    if (!page.ok) return page;
    for (const object of objectsAt(page.value, 'items')) take(object);
    next = textAt(page.value, 'metadata', 'continue');
  } while (next !== undefined && next !== '');
  return ok(undefined);
}

/** One object by its name. Errors: KUBE_*. */
export async function readObject(
  { api, timeoutMs }: Pick<Cluster, 'api' | 'timeoutMs'>,
  resource: KubeResource,
  name: string,
): Promise<Result<KubeObject>> {
  const path = pathOf(resource, name);
  return path.ok ? api.request({ verb: 'get', path: path.value, timeoutMs }) : path;
}
