import type { NodePod, PodContainer } from './node-pod.ts';

/**
 * The selectors of a process in a container of a pod, those of SPIRE 1.15: `ns`, `sa`, `node-name`,
 * `pod-uid`, `pod-name`, `pod-image`, `pod-image-count`, `pod-init-image`, `pod-init-image-count`,
 * `pod-label`, `pod-owner`, `pod-owner-uid`, `container-name`, `container-image`. An image counts by
 * its name and by its digest. What Kubernetes does not say has no selector, where SPIRE has an empty one.
 */
export function podSelectors(pod: NodePod, container: PodContainer): readonly string[] {
  const selectors = [
    `k8s:pod-image-count:${pod.containers.length}`,
    `k8s:pod-init-image-count:${pod.initContainers.length}`,
  ];
  const add = (kind: string, value: string): void => {
    if (value !== '') selectors.push(`k8s:${kind}:${value}`);
  };
  add('ns', pod.namespace);
  add('sa', pod.serviceAccount);
  add('node-name', pod.nodeName);
  add('pod-uid', pod.uid);
  add('pod-name', pod.name);
  for (const image of imagesOf(pod.containers)) add('pod-image', image);
  for (const image of imagesOf(pod.initContainers)) add('pod-init-image', image);
  for (const [key, value] of pod.labels) add('pod-label', `${key}:${value}`);
  for (const { kind, name, uid } of pod.owners) {
    add('pod-owner', `${kind}:${name}`);
    add('pod-owner-uid', `${kind}:${uid}`);
  }
  add('container-name', container.name);
  for (const image of imagesOf([container])) add('container-image', image);
  return selectors;
}

function imagesOf(containers: readonly PodContainer[]): ReadonlySet<string> {
  return new Set(containers.flatMap(({ image, imageId }) => [image, imageId]));
}
