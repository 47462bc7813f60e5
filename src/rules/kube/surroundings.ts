import { MultiMap } from '../../base/multi-map.ts';
import type { Result } from '../../base/result.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { TemplateData } from '../template/template.ts';
import type { PodSubject } from './judge.ts';
import { unmetRequirement } from './label-selector.ts';
import type { KubeEndpoints, KubeNamespace, KubeNode, KubePod } from './objects.ts';
import type { PrefixGrant } from './pod-rule.ts';
import { type ClusterFacts, clusterData, partsOf, renderParentId, renderPrefix } from './render.ts';

const SERVICE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

interface NodeState {
  readonly node: KubeNode;
  parentId: Result<SpiffeId> | undefined;
}

/** What is known around the pods of a cluster: namespaces, nodes, services and grants. */
export class Surroundings {
  readonly namespaces = new Map<string, KubeNamespace>();
  readonly grants = new Map<string, PrefixGrant>();
  readonly isIgnored: (namespace: string) => boolean;
  readonly #cluster: ClusterFacts;
  readonly #nodes = new Map<string, NodeState>();
  readonly #endpoints = new Map<string, KubeEndpoints>();
  /** Services by the UID of a pod that they lead to. */
  readonly #servicesOf = new MultiMap<KubeEndpoints>();

  constructor(cluster: ClusterFacts, isIgnored: (namespace: string) => boolean) {
    this.#cluster = cluster;
    this.isIgnored = isIgnored;
  }

  node(name: string): KubeNode | undefined {
    return this.#nodes.get(name)?.node;
  }

  putNode(node: KubeNode): void {
    this.#nodes.set(node.name, { node, parentId: undefined });
  }

  /** Whether there was one. */
  deleteNode(name: string): boolean {
    return this.#nodes.delete(name);
  }

  /** Takes in what a service leads to; undefined takes it out. Answers the UIDs that it concerns. */
  setEndpoints(key: string, after: KubeEndpoints | undefined): ReadonlySet<string> {
    const before = this.#endpoints.get(key);
    for (const uid of before?.podUids ?? []) if (before) this.#servicesOf.remove(uid, before);
    if (after === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, after);
    for (const uid of after?.podUids ?? []) if (after) this.#servicesOf.add(uid, after);
    return new Set([...(before?.podUids ?? []), ...(after?.podUids ?? [])]);
  }

  /** A pod with what is known around it now. */
  subject(pod: KubePod): PodSubject {
    let data: TemplateData | undefined;
    return {
      pod,
      namespace: this.namespaces.get(pod.namespace),
      isIgnored: this.isIgnored(pod.namespace),
      parentId: () => this.#parentIdOn(pod.nodeName),
      data: () => {
        data ??= this.#dataOf(pod);
        return data;
      },
      services: () => this.#servicesTo(pod),
      prefixes: () => this.prefixesOf(pod.namespace),
    };
  }

  #parentIdOn(nodeName: string): Result<SpiffeId> | undefined {
    const state = this.#nodes.get(nodeName);
    if (state === undefined) return undefined;
    state.parentId ??= nodeAgentId(this.#cluster, state.node);
    return state.parentId;
  }

  #dataOf(pod: KubePod): TemplateData {
    const { metadata, spec } = partsOf(pod.json);
    const own = { ...clusterData(this.#cluster), PodMeta: metadata, PodSpec: spec };
    const node = this.#nodes.get(pod.nodeName)?.node;
    return node === undefined ? own : withNode(own, node);
  }

  /**
   * Who may write EndpointSlices names any pod and any service there: those of the pod's own namespace count,
   * and what is the name of a service (RFC 1123 §2.1, one label).
   */
  #servicesTo({ uid, namespace }: KubePod): readonly string[] {
    const services = [...this.#servicesOf.get(uid)]
      .filter((slice) => slice.namespace === namespace && SERVICE.test(slice.service))
      .map(({ service }) => service);
    return [...new Set(services)];
  }

  /** Path prefixes that a namespace is granted. */
  prefixesOf(namespace: string): readonly string[] {
    const labels = this.namespaces.get(namespace)?.labels;
    if (labels === undefined) return [];
    return [...this.grants.values()].flatMap((grant) => {
      if (unmetRequirement(grant.namespaceSelector, labels) !== undefined) return [];
      const prefix = renderPrefix(grant.pathPrefixTemplate, namespace, this.#cluster);
      return prefix.ok ? [prefix.value] : [];
    });
  }
}

/** The ID that the agent of a node has. Fails as {@link renderParentId} does. */
export function nodeAgentId(cluster: ClusterFacts, node: KubeNode): Result<SpiffeId> {
  return renderParentId(cluster, withNode(clusterData(cluster), node));
}

/** The node's parts are read when a template asks for them: few do, and all pods of a node share its text. */
function withNode(data: TemplateData, { json }: KubeNode): TemplateData {
  let parts: ReturnType<typeof partsOf> | undefined;
  const read = (): ReturnType<typeof partsOf> => {
    parts ??= partsOf(json);
    return parts;
  };
  return {
    ...data,
    get NodeMeta() {
      return read().metadata;
    },
    get NodeSpec() {
      return read().spec;
    },
  };
}
