import type { SignetError } from '../base/errors.ts';
import type { Failed } from '../base/result.ts';
import type { KubeApi } from './kube-api.ts';
import { kubeObjects } from './kube-objects.ts';
import { hasEnded, type KubeObject, metaOf, textAt, valueAt } from './objects.ts';
import { NODES, PODS } from './resource.ts';
import type { ReviewedToken } from './token-review.ts';

/** The pod that a token was given to, and its node, as the cluster has them now. */
export interface BoundPod {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
  readonly pod: KubeObject;
  readonly node: KubeObject;
  /** Whether the pod is being deleted. */
  readonly isEnding: boolean;
}

/** Why there is none. `unasked`: the cluster could not be asked, so nothing is known against the pod. */
export interface BoundPodRefusal {
  readonly kind: 'unbound' | 'pod' | 'node' | 'unasked';
  readonly message: string;
  readonly cause?: SignetError | undefined;
}

/** The pod, or why there is none. */
export type BoundPodAnswer =
  | { readonly ok: true; readonly value: BoundPod }
  | { readonly ok: false; readonly refusal: BoundPodRefusal };

/** What a token says of who has it. */
interface Claims {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
  readonly nodeUid: string | undefined;
}

/** Holds what a reviewed token says of its pod against pod and node as they stand. */
export async function boundPodOf(
  api: KubeApi,
  token: ReviewedToken,
  signal?: AbortSignal,
): Promise<BoundPodAnswer> {
  const { serviceAccount: account, podName, podUid, nodeName, nodeUid } = token;
  if (account === undefined) return refused('unbound', 'the token is that of no service account');
  if (podName === undefined || podUid === undefined || nodeName === undefined) {
    return refused('unbound', 'the token names no pod, or no node');
  }
  const { namespace, name: serviceAccount } = account;
  const claims = { namespace, serviceAccount, podName, podUid, nodeName, nodeUid };
  const pod = await podOf(api, claims, signal);
  if (!pod.ok) return pod;
  const node = await nodeOf(api, claims, signal);
  if (!node.ok) return node;
  const isEnding = valueAt(pod.object, 'metadata', 'deletionTimestamp') !== undefined;
  const value = { namespace, serviceAccount, podName, podUid, nodeName };
  return { ok: true, value: { ...value, pod: pod.object, node: node.object, isEnding } };
}

type Found =
  | { readonly ok: true; readonly object: KubeObject }
  | { readonly ok: false; readonly refusal: BoundPodRefusal };

async function podOf(api: KubeApi, claims: Claims, signal?: AbortSignal): Promise<Found> {
  const { namespace, podName, podUid, nodeName, serviceAccount } = claims;
  const who = `pod ${namespace}/${podName}`;
  const pod = await kubeObjects(api).read({ ...PODS, namespace, name: podName }, signal);
  if (!pod.ok) return isAbsent(pod) ? refused('pod', `${who} is gone`) : unasked(pod);
  if (metaOf(pod.value).uid !== podUid) {
    return refused('pod', `${who} is another than that of the token`);
  }
  if (textAt(pod.value, 'spec', 'serviceAccountName') !== serviceAccount) {
    return refused('pod', `${who} has another service account than the token`);
  }
  if (textAt(pod.value, 'spec', 'nodeName') !== nodeName) {
    return refused('pod', `${who} is on another node than the token says`);
  }
  const phase = textAt(pod.value, 'status', 'phase') ?? '';
  // Its token is good for as long as the object stands, which may be days.
  if (hasEnded(phase)) return refused('pod', `${who} has ended (${phase})`);
  return { ok: true, object: pod.value };
}

async function nodeOf(api: KubeApi, claims: Claims, signal?: AbortSignal): Promise<Found> {
  const { nodeName, nodeUid } = claims;
  const node = await kubeObjects(api).read({ ...NODES, name: nodeName }, signal);
  if (!node.ok) return isAbsent(node) ? refused('node', `node ${nodeName} is gone`) : unasked(node);
  const { uid } = metaOf(node.value);
  if (uid === '' || (nodeUid !== undefined && uid !== nodeUid)) {
    return refused('node', `node ${nodeName} is another than that of the token`);
  }
  if (valueAt(node.value, 'metadata', 'deletionTimestamp') !== undefined) {
    return refused('node', `node ${nodeName} is being deleted`);
  }
  return { ok: true, object: node.value };
}

/** There is no such object, or there can be none. */
function isAbsent({ error }: Failed): boolean {
  return error.code === 'KUBE_NOT_FOUND' || error.code === 'KUBE_NAME';
}

function unasked({ error }: Failed): Found & { readonly ok: false } {
  return { ok: false, refusal: { kind: 'unasked', message: error.message, cause: error } };
}

function refused(
  kind: BoundPodRefusal['kind'],
  message: string,
): { readonly ok: false; readonly refusal: BoundPodRefusal } {
  return { ok: false, refusal: { kind, message } };
}
