/** Whose container a cgroup is: a pod's, one of an engine's, or one that the path alone does not tell. */
export type ContainerOwner = 'pod' | 'docker' | 'podman' | 'unknown';

/** One way in which a runtime names the cgroup of a container. */
export interface Layout {
  /** What makes such cgroups. */
  readonly name: string;
  readonly owner: ContainerOwner;
  /** A path of it, with U for a pod's UID and C for a container's id. */
  readonly example: string;
  /**
   * From the start of the path to the end of the container's own segment, with the groups `id` and,
   * where the path has it, `uid`. What follows is the container's to make, and proves nothing.
   */
  readonly pattern: RegExp;
}

const ID = '(?<id>[0-9a-f]{64})';

/** A UUID, its dashes as underscores under systemd; static pods have a hash of 32 digits in its place. */
const UID = '(?<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})';

const QOS = '(?:besteffort|burstable)';

/** The kubelet's --cgroup-root of kind and minikube, beside none at all. */
const CGROUPFS_POD = `(?:kubelet/)?kubepods/(?:${QOS}/)?pod${UID}`;
const POD_SLICE = `(?:kubelet-)?kubepods(?:-${QOS})?-pod${UID}\\.slice`;
const SYSTEMD_POD = `(?:kubelet\\.slice/)?(?:kubelet-)?kubepods\\.slice/(?:(?:kubelet-)?kubepods-${QOS}\\.slice/)?${POD_SLICE}`;

/** What the agent sees of its neighbours from inside a cgroup namespace, after the leading `..`. */
const NEIGHBOUR_POD = `(?:(?:${QOS}/)?pod${UID}|(?:(?:kubelet-)?kubepods-${QOS}\\.slice/)?${POD_SLICE})`;

/** containerd, CRI-O, and Docker by cri-dockerd. */
const POD_CONTAINER = `(?:(?:cri-containerd|crio|docker|nerdctl)-${ID}\\.scope|(?:crio-)?${ID})`;

/** Units of root that a containerd with a mismatched cgroup driver puts its containers below. */
const CONTAINERD_UNIT =
  'system\\.slice/(?:containerd|k3s|k3s-agent|rke2-server|rke2-agent|snap\\.microk8s\\.daemon-containerd)\\.service';

function layout(name: string, owner: ContainerOwner, example: string, pattern: string): Layout {
  return { name, owner, example, pattern: new RegExp(`^${pattern}(?=/|$)`) };
}

/**
 * The one table of layouts, for paths from the root of the cgroup tree. Each pattern begins where only
 * root can make cgroups, so that a user with a subtree of its own (`user.slice`, a delegated unit, the
 * inside of a container) cannot make one that fits.
 */
export const ROOTED_LAYOUTS: readonly Layout[] = [
  layout(
    'Kubernetes, cgroupfs driver',
    'pod',
    '/kubepods/burstable/podU/C',
    `/${CGROUPFS_POD}/${POD_CONTAINER}`,
  ),
  layout(
    'Kubernetes, systemd driver',
    'pod',
    '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/cri-containerd-C.scope',
    `/${SYSTEMD_POD}/${POD_CONTAINER}`,
  ),
  layout(
    'Kubernetes, containerd by cgroupfs under a systemd kubelet',
    'pod',
    '/system.slice/containerd.service/kubepods-besteffort-podU.slice:cri-containerd:C',
    `/(?:${CONTAINERD_UNIT}/)?${POD_SLICE}:cri-containerd:${ID}`,
  ),
  layout(
    'KubeEdge with CRI-O',
    'unknown',
    '/system.slice/crio-C.scope',
    `/(?:system\\.slice/)?crio-${ID}\\.scope`,
  ),
  layout('Docker, cgroupfs driver', 'docker', '/docker/C', `/docker/${ID}`),
  layout(
    'Docker, systemd driver',
    'docker',
    '/system.slice/docker-C.scope',
    `/system\\.slice/docker-${ID}\\.scope`,
  ),
  layout(
    'Podman, cgroupfs driver',
    'podman',
    '/libpod_parent/libpod-C',
    `/libpod_parent/libpod-${ID}`,
  ),
  layout(
    'Podman, systemd driver',
    'podman',
    '/machine.slice/libpod-C.scope/container',
    `/machine\\.slice/libpod-${ID}\\.scope`,
  ),
];

/**
 * The same for paths that begin with `..`: those outside the agent's cgroup namespace, as an agent in
 * a container sees them. The pattern is for what follows the dots.
 */
export const NEIGHBOUR_LAYOUTS: readonly Layout[] = [
  ...ROOTED_LAYOUTS,
  layout('another pod', 'pod', '/../../podU/C', `/${NEIGHBOUR_POD}/${POD_CONTAINER}`),
  layout(
    'another pod, containerd by cgroupfs',
    'pod',
    '/../kubepods-podU.slice:cri-containerd:C',
    `/${POD_SLICE}:cri-containerd:${ID}`,
  ),
  layout('the pod of the agent', 'unknown', '/../cri-containerd-C.scope', `/${POD_CONTAINER}`),
  layout('Podman beside the agent', 'podman', '/../libpod-C.scope', `/libpod-${ID}(?:\\.scope)?`),
];

/**
 * The node as a container (kind, minikube, k3d): what stands before the layouts above where the agent
 * is in that same container and has no cgroup namespace of its own.
 */
export const NODE_CONTAINER =
  /^\/(?:docker\/[0-9a-f]{64}|system\.slice\/docker-[0-9a-f]{64}\.scope|libpod_parent\/libpod-[0-9a-f]{64}|machine\.slice\/libpod-[0-9a-f]{64}\.scope(?:\/container)?)(?=\/|$)/;

/**
 * Signs of a container in a path that fits no layout: the process may be in a container, and must not
 * pass for one that is in none.
 */
export const CONTAINER_SIGN = /[0-9a-f]{64}|kubepods|cri-containerd|\/pod[0-9a-f]{8}-/;
