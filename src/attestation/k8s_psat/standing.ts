import { fail, ok, type Result } from '../../base/result.ts';
import { type BoundPodRefusal, boundPodOf } from '../../kube/bound-pod.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import { metaOf, textAt, textMapAt } from '../../kube/objects.ts';
import { type ReviewedToken, reviewToken } from '../../kube/token-review.ts';

/** A cluster whose nodes may attest. */
export interface PsatCluster {
  readonly name: string;
  readonly api: KubeApi;
  /** Service accounts of agents, `namespace:name`. */
  readonly serviceAccounts: ReadonlySet<string>;
  /** What a token must be for: one of these at least. */
  readonly audiences: readonly string[];
  /** Labels that become selectors. */
  readonly nodeLabelKeys: ReadonlySet<string>;
  readonly podLabelKeys: ReadonlySet<string>;
}

/** An agent's pod and its node, as the cluster has them. */
export interface PsatStanding {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly podLabels: ReadonlyMap<string, string>;
  /** Address of the node; undefined before the kubelet has told it. */
  readonly nodeIp: string | undefined;
  readonly nodeName: string;
  readonly nodeUid: string;
  readonly nodeLabels: ReadonlyMap<string, string>;
  /** Number of the token (KEP-4193); undefined where the cluster gives none. */
  readonly credentialId: string | undefined;
}

/**
 * Whose token it is, held against the pod and the node as they stand now. Fails with KUBE_TOKEN,
 * K8S_PSAT_*, and K8S_PSAT_API where the cluster cannot be asked: that refuses nobody.
 */
export async function standingOf(
  cluster: PsatCluster,
  token: string,
): Promise<Result<PsatStanding>> {
  const { name, api, audiences } = cluster;
  const reviewed = await reviewToken(api, token, audiences);
  if (!reviewed.ok) {
    const { error } = reviewed;
    if (error.code === 'KUBE_TOKEN') return reviewed;
    return fail('K8S_PSAT_API', error.message, { cause: error });
  }
  const agent = requireAgent(cluster, reviewed.value);
  if (!agent.ok) return agent;
  const bound = await boundPodOf(api, reviewed.value);
  if (!bound.ok) return refusalOf(name, bound.refusal);
  const { pod, node, isEnding: _, ...claims } = bound.value;
  return ok({
    ...claims,
    credentialId: reviewed.value.credentialId,
    podLabels: textMapAt(pod, 'metadata', 'labels'),
    nodeIp: textAt(pod, 'status', 'hostIP') || undefined,
    nodeUid: metaOf(node).uid,
    nodeLabels: textMapAt(node, 'metadata', 'labels'),
  });
}

function requireAgent({ name, serviceAccounts }: PsatCluster, token: ReviewedToken): Result<void> {
  const { serviceAccount: account, username } = token;
  if (account !== undefined && serviceAccounts.has(`${account.namespace}:${account.name}`)) {
    return ok(undefined);
  }
  const who = JSON.stringify(username.slice(0, 300));
  return fail('K8S_PSAT_SERVICE_ACCOUNT', `cluster ${name}: ${who} is no agent`);
}

const CODES = {
  unbound: 'K8S_PSAT_UNBOUND',
  pod: 'K8S_PSAT_POD',
  node: 'K8S_PSAT_NODE',
  unasked: 'K8S_PSAT_API',
} as const;

function refusalOf(cluster: string, { kind, message, cause }: BoundPodRefusal): Result<never> {
  return fail(CODES[kind], `cluster ${cluster}: ${message}`, { cause });
}
