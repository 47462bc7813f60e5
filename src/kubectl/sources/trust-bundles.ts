import { ok, type Result } from '../../base/result.ts';
import { textAt } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { findTrustBundles } from '../../kube/trust-bundles.ts';
import { type Cluster, eachObject } from '../clusters.ts';
import type { ContentReader } from '../content.ts';
import type { BundleCopy } from '../model.ts';
import { copyOf } from './object-copy.ts';

/**
 * The copies in ClusterTrustBundles (KEP-3257), those of Kubernetes' own signers left out. A cluster that serves none has no copies; one that does
 * not let them be read is KUBE_FORBIDDEN.
 */
export async function trustBundleCopies(
  cluster: Cluster,
  read: ContentReader,
): Promise<Result<readonly BundleCopy[]>> {
  const resource = await findTrustBundles(cluster.api);
  if (!resource.ok) return resource.error.code === 'KUBE_NOT_FOUND' ? ok([]) : resource;
  const copies: BundleCopy[] = [];
  const listed = await eachObject(
    cluster,
    resource.value,
    { label: cluster.selector },
    (object) => {
      const isOfKubernetes = textAt(object, 'spec', 'signerName')?.startsWith('kubernetes.io/');
      if (isOfKubernetes !== true) copies.push(trustBundleCopy(object, cluster, read));
    },
  );
  return listed.ok ? ok(copies) : listed;
}

/** The copy in one ClusterTrustBundle. */
export function trustBundleCopy(
  object: Parameters<typeof copyOf>[0],
  { context }: Pick<Cluster, 'context'>,
  read: ContentReader,
): BundleCopy {
  const text = textAt(object, 'spec', 'trustBundle') ?? '';
  return copyOf(object, { context, source: 'ctb', key: undefined, text }, read);
}

/** How the cluster serves them. Fails with KUBE_NOT_FOUND. */
export function trustBundleResource({ api }: Pick<Cluster, 'api'>): Promise<Result<KubeResource>> {
  return findTrustBundles(api);
}
