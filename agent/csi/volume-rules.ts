import { fail, ok, type Result } from '../../src/base/result.ts';
import type { NodePublishVolumeRequest } from '../../src/gen/csi/csi.ts';

/** What the kubelet itself writes beside a pod's volumeAttributes (CSIDriver podInfoOnMount). */
const KUBELET_PREFIX = 'csi.storage.k8s.io/';

/** Tells a volume that is written in its pod from one that outlives it. */
const EPHEMERAL = `${KUBELET_PREFIX}ephemeral`;

/**
 * Judges what a volume asks for: written in its pod, read-only, of files, nothing else. The container's
 * own mount is what the kubelet makes of `readOnly`, so a volume without it is refused even though our
 * mount is always read-only. Fails with CSI_REQUEST_INCOMPLETE, CSI_VOLUME_UNSUPPORTED.
 */
export function checkVolume(request: NodePublishVolumeRequest): Result<void> {
  const access = request.volumeCapability?.accessType;
  if (request.volumeId === '') return incomplete('volume_id');
  if (request.targetPath === '') return incomplete('target_path');
  if (access === undefined) return incomplete('volume_capability');
  const context = request.volumeContext;
  if (context[EPHEMERAL] !== 'true') {
    return unsupported('only volumes written in a pod are given, not those that outlive it');
  }
  if (request.stagingTargetPath !== '' || Object.keys(request.publishContext).length > 0) {
    return unsupported('the volume comes from a controller or was staged');
  }
  if (!request.readonly) return unsupported('the volume lacks readOnly: true');
  if (access.$case !== 'mount') return unsupported('the volume is a block device');
  const { fsType, mountFlags, volumeMountGroup } = access.value;
  if (fsType !== '') return unsupported('the volume names a file system');
  if (mountFlags.length > 0) return unsupported('the volume has mount options');
  if (volumeMountGroup !== '') return unsupported('the volume is to be given to a group');
  const attribute = Object.keys(context).find((name) => !name.startsWith(KUBELET_PREFIX));
  if (attribute === undefined) return ok(undefined);
  return unsupported(`the volume has an attribute that is unknown: ${attribute.slice(0, 100)}`);
}

/** The pod that a volume is for, as the kubelet says; for the log. */
export function podOf({ volumeContext }: NodePublishVolumeRequest): Record<string, string> {
  const said = (name: string): string => volumeContext[`${KUBELET_PREFIX}pod.${name}`] ?? '';
  return { namespace: said('namespace'), pod: said('name'), podUid: said('uid') };
}

function incomplete(field: string): Result<never> {
  return fail('CSI_REQUEST_INCOMPLETE', `${field} is missing`);
}

function unsupported(reason: string): Result<never> {
  return fail('CSI_VOLUME_UNSUPPORTED', reason);
}
