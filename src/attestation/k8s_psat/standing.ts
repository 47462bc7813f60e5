import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import { kubeObjects } from '../../kube/kube-objects.ts';
import {
  hasEnded,
  type KubeObject,
  metaOf,
  textAt,
  textMapAt,
  valueAt,
} from '../../kube/objects.ts';
import { NODES, PODS } from '../../kube/resource.ts';
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

/** What a token says of the agent that has it. */
interface Claims {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
  readonly nodeUid: string | undefined;
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
  const reviewed = await reviewToken(cluster.api, token, cluster.audiences);
  if (!reviewed.ok) return reviewed.error.code === 'KUBE_TOKEN' ? reviewed : unasked(reviewed);
  const claims = claimsOf(cluster, reviewed.value);
  if (!claims.ok) return claims;
  const pod = await podOf(cluster, claims.value);
  if (!pod.ok) return pod;
  const node = await nodeOf(cluster, claims.value);
  if (!node.ok) return node;
  return ok({
    ...claims.value,
    podLabels: textMapAt(pod.value, 'metadata', 'labels'),
    nodeIp: textAt(pod.value, 'status', 'hostIP') || undefined,
    nodeUid: metaOf(node.value).uid,
    nodeLabels: textMapAt(node.value, 'metadata', 'labels'),
  });
}

function claimsOf({ name, serviceAccounts }: PsatCluster, token: ReviewedToken): Result<Claims> {
  const { serviceAccount: account, podName, podUid, nodeName, nodeUid, credentialId } = token;
  if (account === undefined || !serviceAccounts.has(`${account.namespace}:${account.name}`)) {
    const who = JSON.stringify(token.username.slice(0, 300));
    return fail('K8S_PSAT_SERVICE_ACCOUNT', `cluster ${name}: ${who} is no agent`);
  }
  if (podName === undefined || podUid === undefined || nodeName === undefined) {
    return fail('K8S_PSAT_UNBOUND', `cluster ${name}: the token names no pod, or no node`);
  }
  const { namespace, name: serviceAccount } = account;
  return ok({ namespace, serviceAccount, podName, podUid, nodeName, nodeUid, credentialId });
}

async function podOf({ api }: PsatCluster, claims: Claims): Promise<Result<KubeObject>> {
  const { namespace, podName, podUid, nodeName, serviceAccount } = claims;
  const who = `pod ${namespace}/${podName}`;
  const pod = await kubeObjects(api).read({ ...PODS, namespace, name: podName });
  if (!pod.ok) {
    if (!isAbsent(pod)) return unasked(pod);
    return fail('K8S_PSAT_POD', `${who} is gone`);
  }
  const refused = (why: string): Result<never> => fail('K8S_PSAT_POD', `${who} ${why}`);
  if (metaOf(pod.value).uid !== podUid) return refused('is another than that of the token');
  if (textAt(pod.value, 'spec', 'serviceAccountName') !== serviceAccount) {
    return refused('has another service account than the token');
  }
  if (textAt(pod.value, 'spec', 'nodeName') !== nodeName) {
    return refused('is on another node than the token says');
  }
  const phase = textAt(pod.value, 'status', 'phase') ?? '';
  // Its token is good for as long as the object stands, which may be days.
  if (hasEnded(phase)) return refused(`has ended (${phase})`);
  return pod;
}

async function nodeOf({ api }: PsatCluster, claims: Claims): Promise<Result<KubeObject>> {
  const { nodeName, nodeUid } = claims;
  const node = await kubeObjects(api).read({ ...NODES, name: nodeName });
  if (!node.ok) {
    if (!isAbsent(node)) return unasked(node);
    return fail('K8S_PSAT_NODE', `node ${nodeName} is gone`);
  }
  const { uid } = metaOf(node.value);
  if (uid === '' || (nodeUid !== undefined && uid !== nodeUid)) {
    return fail('K8S_PSAT_NODE', `node ${nodeName} is another than that of the token`);
  }
  if (valueAt(node.value, 'metadata', 'deletionTimestamp') !== undefined) {
    return fail('K8S_PSAT_NODE', `node ${nodeName} is being deleted`);
  }
  return node;
}

/** There is no such object, or there can be none. */
function isAbsent({ error }: Failed): boolean {
  return error.code === 'KUBE_NOT_FOUND' || error.code === 'KUBE_NAME';
}

/** The cluster could not be asked, whatever the reason: nothing is known against the agent. */
function unasked({ error }: Failed): Result<never> {
  return fail('K8S_PSAT_API', error.message, { cause: error });
}
