import { isAbsolute, normalize } from 'node:path';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { isWithin } from './mountinfo.ts';

/** A path to mount at, taken apart. */
export interface TargetPath {
  /** Folder of the volume, beneath the kubelet's folder of pods. */
  readonly folder: string;
  /** Name of the mount point in it. */
  readonly name: string;
}

/** Longest path that the kernel takes, in bytes, its NUL left out. */
const MAX_PATH_BYTES = 4095;

/**
 * Takes a target path apart as a kubelet makes it: `POD/volumes/kubernetes.io~csi/VOLUME/mount` beneath
 * its folder of pods. Reads no disk. Fails with CSI_REQUEST_INCOMPLETE, CSI_TARGET_REFUSED.
 *
 * @param pods The kubelet's folder of pods, absolute.
 */
export function parseTargetPath(pods: string, path: string): Result<TargetPath> {
  if (path === '') return fail('CSI_REQUEST_INCOMPLETE', 'target_path is missing');
  const plain = isAbsolute(path) && normalize(path) === path && !path.includes('\0');
  if (!plain || path.endsWith('/') || Buffer.byteLength(path) > MAX_PATH_BYTES) {
    return fail('CSI_TARGET_REFUSED', `${path.slice(0, 200)} is not a plain absolute path`);
  }
  const parts = isWithin(path, pods) ? path.slice(pods.length + 1).split('/') : [];
  const [, volumes, kind, volume, name] = parts;
  const fits = parts.length === 5 && volumes === 'volumes' && kind === 'kubernetes.io~csi';
  if (!fits || volume === undefined || name === undefined) {
    return fail('CSI_TARGET_REFUSED', `${path} is no volume of a pod in ${pods}`);
  }
  return ok({ folder: parts.slice(0, -1).join('/'), name });
}
