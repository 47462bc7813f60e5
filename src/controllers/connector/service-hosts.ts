import { type KubeObject, textAt, textsAt } from '../../kube/objects.ts';

/** A service as the hosts that lead to it are known by. */
export interface ServiceAddresses {
  /** ExternalName: it leads wherever its maker says, by a name of others'. */
  readonly isExternal: boolean;
  /** None where it is headless. */
  readonly clusterIps: readonly string[];
}

/** What is kept of a service. */
export function serviceAddressesFrom(object: KubeObject): ServiceAddresses {
  const isExternal = textAt(object, 'spec', 'type') === 'ExternalName';
  const all = textsAt(object, 'spec', 'clusterIPs');
  const one = textAt(object, 'spec', 'clusterIP') ?? '';
  const clusterIps = (all.length > 0 ? all : [one]).filter((ip) => ip !== '' && ip !== 'None');
  return { isExternal, clusterIps };
}

/**
 * Hosts by which a service is reached: its full names, and its addresses. Shorter names mean something else
 * outside its namespace.
 *
 * @param clusterDomain Such as `cluster.local`; empty leaves the name that ends in it out.
 */
export function hostsOfService(
  place: { readonly namespace: string; readonly name: string },
  { clusterIps }: ServiceAddresses,
  clusterDomain: string,
): readonly string[] {
  const name = `${place.name}.${place.namespace}.svc`;
  return [name, ...(clusterDomain === '' ? [] : [`${name}.${clusterDomain}`]), ...clusterIps];
}
