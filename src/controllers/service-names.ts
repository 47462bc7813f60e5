import type { KubeObject } from '../kube/objects.ts';
import { metaOf, textAt, textMapAt } from '../kube/objects.ts';
import type { KubeResource } from '../kube/resource.ts';
import type { KubeWatch } from '../kube/watch.ts';
import type { KubePod } from '../rules/kube/objects.ts';

/** Services of all namespaces. */
export const SERVICES: KubeResource = { group: '', version: 'v1', plural: 'services' };

/** A service that leads to pods by their labels. */
export interface KubeService {
  readonly namespace: string;
  readonly name: string;
  /** Labels that a pod must have, one at least. */
  readonly selector: readonly (readonly [string, string])[];
}

/** A service; undefined where it selects no pods: somebody else says then where it leads. */
export function serviceFrom(object: KubeObject): KubeService | undefined {
  const selector = [...textMapAt(object, 'spec', 'selector')];
  if (selector.length === 0 || textAt(object, 'spec', 'type') === 'ExternalName') return undefined;
  const { namespace, name } = metaOf(object);
  return { namespace, name, selector };
}

/** DNS names of pods by the services that lead to them. */
export interface ServiceNames {
  /** Whether all services are known. */
  readonly synced: boolean;
  /** Of one pod, sorted; empty where no service selects it. */
  namesOf(pod: Pick<KubePod, 'namespace' | 'labels'>): readonly string[];
}

/**
 * Reads names from the selectors of services, not from their EndpointSlices: a pod is in none of those
 * before it has an address, and has no address before its volumes are there. Only full names are given;
 * shorter ones (`web`, `web.shop`) mean something else in another namespace, or outside the cluster.
 *
 * @param clusterDomain Such as `cluster.local`; empty leaves the names that end in it out.
 */
export function createServiceNames(
  services: Pick<KubeWatch<KubeService>, 'synced' | 'onChange'>,
  clusterDomain: string,
): ServiceNames {
  const byNamespace = new Map<string, Map<string, KubeService>>();
  services.onChange((change) => {
    if (change.kind === 'synced') return;
    const [namespace = ''] = change.key.split('/');
    const held = byNamespace.get(namespace) ?? new Map<string, KubeService>();
    if (change.kind === 'put') held.set(change.key, change.value);
    else held.delete(change.key);
    if (held.size === 0) byNamespace.delete(namespace);
    else byNamespace.set(namespace, held);
  });
  return {
    get synced() {
      return services.synced;
    },
    namesOf({ namespace, labels }) {
      const leading = [...(byNamespace.get(namespace)?.values() ?? [])].filter(({ selector }) =>
        selector.every(([key, value]) => labels[key] === value),
      );
      return leading
        .flatMap(({ name }) => {
          const full = `${name}.${namespace}.svc`;
          return clusterDomain === '' ? [full] : [full, `${full}.${clusterDomain}`];
        })
        .sort();
    },
  };
}
