import type { SignetError } from '../../base/errors.ts';
import { inParallel } from '../../base/in-parallel.ts';
import { type KubeObject, keyOf, metaOf, textMapAt } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { PUBLISHED_LABEL } from '../../kube/trust-bundles.ts';
import { type Cluster, eachObject, type Selectors } from '../clusters.ts';
import { type ContentReader, looksLikeBundle } from '../content.ts';
import { type BundleCopy, NO_CONTENT } from '../model.ts';
import { copyOf } from './object-copy.ts';

/** ConfigMaps of the core group. */
export const CONFIG_MAPS: KubeResource = { group: '', version: 'v1', plural: 'configmaps' };
const NAMESPACES: KubeResource = { group: '', version: 'v1', plural: 'namespaces' };

/** Names under which others publish bundles: SPIRE's notifier, Istio. */
const KNOWN_NAMES = ['spire-bundle', 'istio-ca-root-cert'];
/** Labels of what trust-manager writes, by Bundle and by ClusterBundle. */
const TRUST_MANAGER = ['trust.cert-manager.io/bundle', 'trust-manager.io/bundle'];
const PUBLISHED = `${PUBLISHED_LABEL.key}=${PUBLISHED_LABEL.value}`;
/** Namespaces asked at a time, where they cannot be asked at once. */
const AT_ONCE = 8;

const QUERIES: readonly Selectors[] = [
  { label: PUBLISHED },
  ...KNOWN_NAMES.map((name) => ({ field: `metadata.name=${name}` })),
  ...TRUST_MANAGER.map((label) => ({ label })),
];

/**
 * The copies in ConfigMaps that Signet, SPIRE, Istio or trust-manager wrote. Where the user may not list
 * those of all namespaces, each is asked alone, and what may not be read is told as such.
 */
export async function configMapCopies(
  cluster: Cluster,
  read: ContentReader,
): Promise<readonly BundleCopy[]> {
  const copies = new Map<string, readonly BundleCopy[]>();
  const take = (object: KubeObject): void => {
    const key = keyOf(metaOf(object));
    if (!copies.has(key)) copies.set(key, copiesOf(object, cluster, read));
  };
  const problem = await listAll(cluster, cluster.namespace, take);
  const unreadable = problem === undefined ? [] : await askEachNamespace(cluster, problem, take);
  return [...[...copies.values()].flat(), ...unreadable].toSorted(byPlace);
}

/** By namespace and name: a list of several queries has no order of its own. */
function byPlace(a: BundleCopy, b: BundleCopy): number {
  const [left, right] = [a, b].map(({ place }) => `${place.namespace}/${place.name}`);
  return (left ?? '') < (right ?? '') ? -1 : 1;
}

async function listAll(
  cluster: Cluster,
  namespace: string | undefined,
  take: (object: KubeObject) => void,
): Promise<SignetError | undefined> {
  const resource = { ...CONFIG_MAPS, namespace };
  const answers = await Promise.all(
    QUERIES.map(({ label, field }) => {
      const labels = [label, cluster.selector].filter((text) => text).join(',');
      return eachObject(cluster, resource, { label: labels, field }, take);
    }),
  );
  // Roles may name the objects that they are for: what one question is refused, another may be told.
  const failed = answers.flatMap((answer) => (answer.ok ? [] : [answer.error]));
  const allowed = answers.some((answer) => answer.ok);
  return allowed && failed.every(({ code }) => code === 'KUBE_FORBIDDEN') ? undefined : failed[0];
}

async function askEachNamespace(
  cluster: Cluster,
  problem: SignetError,
  take: (object: KubeObject) => void,
): Promise<readonly BundleCopy[]> {
  const { namespace, context } = cluster;
  const unreadable = (where: string, why: SignetError): BundleCopy => ({
    place: { context, source: 'cm', namespace: where, name: '*', key: undefined },
    trustDomain: undefined,
    content: NO_CONTENT,
    sequence: undefined,
    isPublished: false,
    problem: why,
  });
  if (namespace !== undefined || problem.code !== 'KUBE_FORBIDDEN') {
    return [unreadable(namespace ?? '*', problem)];
  }
  const names: string[] = [];
  const listed = await eachObject(cluster, NAMESPACES, {}, (one) => names.push(metaOf(one).name));
  if (!listed.ok) return [unreadable('*', problem)];
  const answers = await inParallel(names, AT_ONCE, async (name) => {
    const why = await listAll(cluster, name, take);
    return why === undefined ? [] : [unreadable(name, why)];
  });
  return answers.flat();
}

/** The copies in one ConfigMap: one for each key that holds a bundle. */
export function copiesOf(
  object: KubeObject,
  cluster: Pick<Cluster, 'context'>,
  read: ContentReader,
): readonly BundleCopy[] {
  const data = [...textMapAt(object, 'data')];
  const bundles = data.filter(([, text]) => looksLikeBundle(text));
  // Of one that should hold a bundle and does not, the first key is told.
  const [first = ['', ''] as const] = data;
  return (bundles.length > 0 ? bundles : [first]).map(([key, text]) =>
    copyOf(object, { context: cluster.context, source: 'cm', key: key || undefined, text }, read),
  );
}
