import { fail, ok, type Result } from '../base/result.ts';
import type { KubeApi } from './kube-api.ts';
import { objectsAt, textAt } from './objects.ts';
import type { KubeResource } from './resource.ts';

/** Annotation of every object that is published: which bundle it holds. */
export const SEQUENCE_ANNOTATION = 'signet.dev/bundle-sequence';
/** Annotation of every object that is published: whose bundle it holds. */
export const DOMAIN_ANNOTATION = 'signet.dev/trust-domain';
/** Annotation of what is published of other trust domains: by the server of which trust domain. */
export const PUBLISHER_ANNOTATION = 'signet.dev/published-by';
/** Label of what is published of other trust domains. */
export const FEDERATED_LABEL = { key: 'signet.dev/federated', value: 'true' } as const;
/** Label of every object that is published, by which all of a cluster are found. */
export const PUBLISHED_LABEL = { key: 'signet.dev/bundle', value: 'published' } as const;

const GROUP = 'certificates.k8s.io';
const PLURAL = 'clustertrustbundles';

/**
 * How a cluster serves ClusterTrustBundles: v1, or v1beta1 before 1.37. Fails with KUBE_NOT_FOUND where
 * it serves none.
 */
export async function findTrustBundles(
  api: KubeApi,
  signal?: AbortSignal,
): Promise<Result<KubeResource>> {
  for (const version of ['v1', 'v1beta1']) {
    const path = `/apis/${GROUP}/${version}`;
    const found = await api.request({ verb: 'get', path, signal });
    if (!found.ok && found.error.code !== 'KUBE_NOT_FOUND') return found;
    const served = found.ok ? objectsAt(found.value, 'resources') : [];
    const isServed = served.some((resource) => textAt(resource, 'name') === PLURAL);
    if (isServed) return ok({ group: GROUP, version, plural: PLURAL });
  }
  return fail('KUBE_NOT_FOUND', 'the cluster serves no ClusterTrustBundles');
}
