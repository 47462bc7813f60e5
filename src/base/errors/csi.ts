import { defineErrors } from './define.ts';

/** Refusals of the driver that hands the Workload API's folder to pods. */
export const csiErrors = defineErrors({
  CSI_REQUEST_INCOMPLETE: {
    status: 'InvalidArgument',
    retryable: false,
    means: 'A call to the driver lacks what the Container Storage Interface demands.',
    action: 'Look who calls the socket of the driver: a kubelet sends these fields always.',
  },
  CSI_VOLUME_UNSUPPORTED: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      'A volume asks for what this driver does not give: a volume that outlives its pod, that may be written to, a block device, a file system, mount options or attributes.',
    action:
      'Write the volume into the pod as `csi: { driver: …, readOnly: true }` and nothing else.',
  },
  CSI_TARGET_REFUSED: {
    status: 'InvalidArgument',
    retryable: false,
    means:
      "The path to mount at is not plainly spelled beneath the kubelet's folder of pods, leads over a link, or holds something else.",
    action:
      "Set --kubelet-dir to the kubelet's root directory, and mount its folder pods at the same path into the driver's container.",
  },
  CSI_SOCKET_ABSENT: {
    status: 'Unavailable',
    retryable: true,
    means: 'The folder of the Workload API socket does not exist on this node.',
    action:
      'Wait for the agent of this node; if it lasts, see that --socket-dir names the folder of its workloadSocket.path.',
  },
  CSI_MOUNT_FAILED: {
    status: 'Internal',
    retryable: true,
    means: 'The kernel refused to mount or to unmount; the message has its reason.',
    action:
      'The driver needs Linux 5.12, CAP_SYS_ADMIN, and the folder pods with mountPropagation: Bidirectional.',
  },
  CSI_NOT_REGISTERED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The kubelet did not take the driver.',
    action:
      'See the message; another driver of the same name on the node is the usual cause. The kubelet tries again by itself.',
  },
});
