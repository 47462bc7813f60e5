import { fail, ok, type Result } from '../../../src/base/result.ts';
import { type ContainerStatus, Pod } from '../../../src/gen/kubelet/pod.ts';
import { type KubeObject, objectsAt, textAt, textMapAt } from '../../../src/kube/objects.ts';

/** A pod of this node, as much of it as its selectors say. */
export interface NodePod {
  readonly uid: string;
  /** Of a static pod as the API server has it: the UID that the kubelet and the cgroups know it by. */
  readonly staticUid: string | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  readonly serviceAccount: string;
  readonly labels: readonly (readonly [key: string, value: string])[];
  readonly owners: readonly PodOwner[];
  readonly containers: readonly PodContainer[];
  readonly initContainers: readonly PodContainer[];
}

/** What made a pod, such as a ReplicaSet. */
export interface PodOwner {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** A container as the status of its pod has it. What is not known yet is empty. */
export interface PodContainer {
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  /** 64 hexadecimal digits, without the runtime that stands before them in the status. */
  readonly containerId: string;
}

/** Where the API server's copy of a static pod says which pod of the kubelet it stands for. */
const MIRROR = 'kubernetes.io/config.mirror';

/** Reads a pod of the kubelet's `/pods` or of the API server; undefined for one without a UID. */
export function podOfJson(object: KubeObject): NodePod | undefined {
  const uid = textAt(object, 'metadata', 'uid') ?? '';
  if (uid === '') return undefined;
  const text = (...keys: readonly string[]): string => textAt(object, ...keys) ?? '';
  return {
    uid,
    staticUid: textMapAt(object, 'metadata', 'annotations').get(MIRROR),
    namespace: text('metadata', 'namespace'),
    name: text('metadata', 'name'),
    nodeName: text('spec', 'nodeName'),
    serviceAccount: text('spec', 'serviceAccountName'),
    labels: sorted(textMapAt(object, 'metadata', 'labels')),
    owners: objectsAt(object, 'metadata', 'ownerReferences').map((owner) => ({
      kind: textAt(owner, 'kind') ?? '',
      name: textAt(owner, 'name') ?? '',
      uid: textAt(owner, 'uid') ?? '',
    })),
    containers: objectsAt(object, 'status', 'containerStatuses').map(containerOfJson),
    initContainers: objectsAt(object, 'status', 'initContainerStatuses').map(containerOfJson),
  };
}

/** Reads a pod in the form of Kubernetes' protobuf. Fails with AGENT_POD_SOURCE. */
export function podOfBytes(bytes: Uint8Array): Result<NodePod> {
  let pod: Pod;
  try {
    pod = Pod.decode(bytes);
  } catch (cause) {
    return fail('AGENT_POD_SOURCE', 'the kubelet sent a pod that cannot be read', { cause });
  }
  const { metadata, spec, status } = pod;
  if (metadata === undefined || metadata.uid === '') {
    return fail('AGENT_POD_SOURCE', 'the kubelet sent a pod without a UID');
  }
  return ok({
    uid: metadata.uid,
    staticUid: metadata.annotations[MIRROR],
    namespace: metadata.namespace,
    name: metadata.name,
    nodeName: spec?.nodeName ?? '',
    serviceAccount: spec?.serviceAccountName ?? '',
    labels: sorted(Object.entries(metadata.labels)),
    owners: metadata.ownerReferences.map(({ kind, name, uid }) => ({ kind, name, uid })),
    containers: status?.containerStatuses.map(containerOf) ?? [],
    initContainers: status?.initContainerStatuses.map(containerOf) ?? [],
  });
}

/** By key, so that pods of two sources compare. */
function sorted(labels: Iterable<readonly [string, string]>): [string, string][] {
  return Array.from(labels, ([key, value]): [string, string] => [key, value]).sort(
    ([one], [other]) => (one < other ? -1 : 1),
  );
}

function containerOfJson(status: KubeObject): PodContainer {
  return containerOf({
    name: textAt(status, 'name') ?? '',
    image: textAt(status, 'image') ?? '',
    imageId: textAt(status, 'imageID') ?? '',
    containerId: textAt(status, 'containerID') ?? '',
  });
}

function containerOf({ name, image, imageId, containerId }: ContainerStatus): PodContainer {
  return { name, image, imageId, containerId: bareId(containerId) };
}

/** `containerd://<id>` without its runtime; empty for what is no id of a container. */
function bareId(containerId: string): string {
  return /^[a-z0-9.+-]+:\/\/([0-9a-f]{64})$/i.exec(containerId)?.[1] ?? '';
}
