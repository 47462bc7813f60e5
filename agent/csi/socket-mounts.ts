import { existsSync, lstatSync, mkdirSync, readlinkSync, realpathSync, rmdirSync } from 'node:fs';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';
import type { Folder, Kernel } from './kernel.ts';
import { isWithin, type Mount, type Place, placeOf, readMounts, shows } from './mountinfo.ts';
import { parseTargetPath } from './target-path.ts';

/** What is mounted where. */
export interface SocketMountsParts {
  readonly kernel: Kernel;
  /** Folder with the Workload API socket, absolute. */
  readonly socketDir: string;
  /** The kubelet's folder of pods, absolute. */
  readonly podsDir: string;
}

/** `renewed`: what was mounted there was not the socket's folder as it is now. */
export type Published = 'mounted' | 'unchanged' | 'renewed';

/**
 * Mounts of the socket's folder in pods. They live in the kernel alone: this process may end and start
 * again at any time, and what it has to know it reads from the table of mounts.
 */
export interface SocketMounts {
  /** Fails with CSI_TARGET_REFUSED, CSI_SOCKET_ABSENT, CSI_MOUNT_FAILED, CSI_REQUEST_INCOMPLETE. */
  publish(target: string): Result<Published>;
  /** Answers whether anything was there. Fails as `publish`, but never for the socket's folder. */
  unpublish(target: string): Result<boolean>;
  /** Whether the folder of the socket is there to be mounted. */
  readonly present: boolean;
  /** Mounts of the socket's folder in pods of this node now. */
  count(): number;
}

/** Mode of a mount point while nothing is mounted there. */
const MOUNT_POINT_MODE = 0o750;

/** Mounts by this kernel. Each call runs to its end at once: two of one path cannot meet. */
export function createSocketMounts(parts: SocketMountsParts): SocketMounts {
  const { kernel, socketDir, podsDir } = parts;
  return {
    publish: (target) =>
      withTarget(parts, target, (found) => {
        if (found === undefined) return fail('CSI_TARGET_REFUSED', `no folder for ${target}`);
        const source = kernel.openFolder(socketDir);
        if (!source.ok) {
          return fail('CSI_SOCKET_ABSENT', `${socketDir}: ${source.error.message}`);
        }
        try {
          return publishAt(kernel, source.value, found);
        } finally {
          source.value.close();
        }
      }),
    unpublish: (target) =>
      withTarget(parts, target, (found) =>
        found === undefined ? ok(false) : unpublishAt(kernel, found),
      ),
    get present() {
      return existsSync(socketDir);
    },
    count: () => countMounts(socketDir, podsDir),
  };
}

/** A mount point: the open folder of its volume, and its name in it. */
interface Target {
  readonly folder: Folder;
  readonly name: string;
  /** As the table of mounts has it. */
  readonly mountPoint: string;
}

/** Runs `work` on the folder of a target, reached without a link; undefined where it is not there. */
function withTarget<T>(
  { kernel, podsDir }: SocketMountsParts,
  path: string,
  work: (found: Target | undefined) => Result<T>,
): Result<T> {
  const parsed = parseTargetPath(podsDir, path);
  if (!parsed.ok) return parsed;
  const pods = kernel.openFolder(podsDir);
  if (!pods.ok) return fail('CSI_TARGET_REFUSED', `${podsDir}: ${pods.error.message}`);
  try {
    const folder = kernel.openBeneath(pods.value, parsed.value.folder);
    if (!folder.ok) {
      if (folder.error.details.errno === 'ENOENT') return work(undefined);
      return fail('CSI_TARGET_REFUSED', folder.error.message);
    }
    try {
      const { name } = parsed.value;
      const mountPoint = `${readlinkSync(folder.value.path)}/${name}`;
      return work({ folder: folder.value, name, mountPoint });
    } finally {
      folder.value.close();
    }
  } finally {
    pods.value.close();
  }
}

function publishAt(kernel: Kernel, source: Folder, target: Target): Result<Published> {
  const place = placeOf(readMounts(), readlinkSync(source.path));
  if (place === undefined) return fail('CSI_MOUNT_FAILED', 'the socket folder is on no mount');
  const made = makeMountPoint(target);
  if (!made.ok) return made;
  const before = mountsAt(target);
  if (isShown(before, place)) return ok('unchanged');
  const cleared = unmountAll(kernel, target);
  if (!cleared.ok) return cleared;
  const shown = kernel.show(source, target.folder, target.name);
  if (!shown.ok || !isShown(mountsAt(target), place)) {
    // What could not be mounted whole is not left for a container to find.
    unpublishAt(kernel, target);
    return shown.ok ? fail('CSI_MOUNT_FAILED', 'the mount is not in the table of mounts') : shown;
  }
  return ok(before.length === 0 ? 'mounted' : 'renewed');
}

/** One mount, of the folder as it is now: those of older drivers lay on top of each other. */
function isShown(mounts: readonly Mount[], place: Place): boolean {
  const [mount] = mounts;
  return mounts.length === 1 && mount !== undefined && shows(mount, place);
}

function unpublishAt(kernel: Kernel, target: Target): Result<boolean> {
  const path = `${target.folder.path}/${target.name}`;
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return ok(false);
  const cleared = unmountAll(kernel, target);
  if (!cleared.ok) return cleared;
  try {
    rmdirSync(path);
    return ok(true);
  } catch (cause) {
    // Never more than an empty folder is removed: anything else was not made here.
    const reason = `${target.mountPoint} cannot be removed: ${errnoCode(cause)}`;
    return fail('CSI_TARGET_REFUSED', reason, { cause });
  }
}

function makeMountPoint({ folder, name, mountPoint }: Target): Result<void> {
  const path = `${folder.path}/${name}`;
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) mkdirSync(path, { mode: MOUNT_POINT_MODE });
    else if (!found.isDirectory()) return fail('CSI_TARGET_REFUSED', `${mountPoint} is no folder`);
    return ok(undefined);
  } catch (cause) {
    return fail('CSI_MOUNT_FAILED', `${mountPoint}: ${errnoCode(cause)}`, { cause });
  }
}

function unmountAll(kernel: Kernel, target: Target): Result<void> {
  for (let left = mountsAt(target).length; left > 0; left--) {
    const done = kernel.unmount(target.folder, target.name);
    if (!done.ok) return done;
  }
  const left = mountsAt(target).length;
  if (left === 0) return ok(undefined);
  return fail('CSI_MOUNT_FAILED', `${left} mounts are left at ${target.mountPoint}`);
}

function mountsAt({ mountPoint }: Target): readonly Mount[] {
  return readMounts().filter((mount) => mount.mountPoint === mountPoint);
}

function countMounts(socketDir: string, podsDir: string): number {
  if (!existsSync(socketDir) || !existsSync(podsDir)) return 0;
  const mounts = readMounts();
  const place = placeOf(mounts, realpathSync(socketDir));
  const pods = realpathSync(podsDir);
  if (place === undefined) return 0;
  return mounts.filter((mount) => isWithin(mount.mountPoint, pods) && shows(mount, place)).length;
}
