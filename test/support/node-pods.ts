import type { NodePod, PodContainer } from '../../agent/workload/k8s/node-pod.ts';

/** Ids of containers, 64 hexadecimal digits, by a digit of one's choice. */
export function containerId(digit: string): string {
  return digit.repeat(64);
}

/** A container of a test's pod. */
export function podContainer(changes: Partial<PodContainer> = {}): PodContainer {
  return {
    name: 'main',
    image: 'registry.example/web:1.2',
    imageId: 'registry.example/web@sha256:aa',
    containerId: containerId('a'),
    ...changes,
  };
}

/** A pod of a test. */
export function nodePod(changes: Partial<NodePod> = {}): NodePod {
  return {
    uid: '2c48913c-b29f-11e7-9350-020968147796',
    staticUid: undefined,
    namespace: 'shop',
    name: 'web-0',
    nodeName: 'node-a',
    serviceAccount: 'web',
    labels: [['app', 'web']],
    owners: [],
    containers: [podContainer()],
    initContainers: [],
    ...changes,
  };
}

/** The same pod as the kubelet and the API server write it in JSON. */
export function podJson(pod: NodePod): Record<string, unknown> {
  const status = ({ name, image, imageId, containerId: id }: PodContainer) => ({
    name,
    image,
    imageID: imageId,
    ...(id === '' ? {} : { containerID: `containerd://${id}` }),
  });
  return {
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      uid: pod.uid,
      labels: Object.fromEntries(pod.labels),
      ownerReferences: pod.owners.map((owner) => ({ ...owner, apiVersion: 'apps/v1' })),
    },
    spec: { nodeName: pod.nodeName, serviceAccountName: pod.serviceAccount },
    status: {
      containerStatuses: pod.containers.map(status),
      initContainerStatuses: pod.initContainers.map(status),
    },
  };
}
