import type { Labels } from './label-selector.ts';

/** A pod, as far as rules see it. */
export interface KubePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
  /** Empty until it is scheduled. */
  readonly nodeName: string;
  readonly labels: Labels;
  /** `{"metadata": …, "spec": …}`, kept as text: it is read only when a rule is applied. */
  readonly json: string;
}

/** A node, as far as rules see it. */
export interface KubeNode {
  readonly name: string;
  readonly uid: string;
  /** As {@link KubePod.json}. */
  readonly json: string;
}

/** A namespace, as far as rules see it. */
export interface KubeNamespace {
  readonly name: string;
  readonly labels: Labels;
}

/** Which pods a service leads to, or one slice of them. */
export interface KubeEndpoints {
  readonly namespace: string;
  readonly service: string;
  readonly podUids: readonly string[];
}

/** `namespace/name`. */
export function podKey({ namespace, name }: Pick<KubePod, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}
