import { fail, ok, type Result } from '../base/result.ts';

/** A kind of object, as far as its address goes. */
export interface KubeResource {
  /** Such as `cert-manager.io`; empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** Only within this namespace; all of them, or objects of the cluster, unless set. */
  readonly namespace?: string | undefined;
  readonly plural: string;
}

/** An object by its name. */
export interface KubeName extends KubeResource {
  readonly name: string;
}

/** Pods of all namespaces. */
export const PODS: KubeResource = { group: '', version: 'v1', plural: 'pods' };

/** Nodes. */
export const NODES: KubeResource = { group: '', version: 'v1', plural: 'nodes' };

/** The path of a kind of object. Fails with KUBE_NAME for what is no segment of a path. */
export function pathOf(
  { group, version, namespace, plural }: KubeResource,
  ...below: readonly string[]
): Result<string> {
  const root = group === '' ? ['api', version] : ['apis', group, version];
  const within = namespace === undefined ? [] : ['namespaces', namespace];
  const segments = [...root, ...within, plural, ...below];
  // Also keeps names that came from outside, as from a token, from being another path.
  const bad = segments.find((segment) => !/^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$/.test(segment));
  if (bad === undefined) return ok(`/${segments.join('/')}`);
  return fail('KUBE_NAME', `${JSON.stringify(bad.slice(0, 80))} can be no name in Kubernetes`);
}
