import { readFileSync } from 'node:fs';

/** A line of /proc/self/mountinfo (proc_pid_mountinfo(5)): one mount of this process. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The folder of that file system that is mounted; of one that was removed it ends with `//deleted`. */
  readonly root: string;
  readonly mountPoint: string;
  readonly readOnly: boolean;
}

/** A folder as mounts of it show it. */
export type Place = Pick<Mount, 'device' | 'root'>;

/** The mounts of this process as the kernel lists them; the last at a path lies on top. */
export function readMounts(): readonly Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Reads the table; lines that are none are left out. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [, , device, root, mountPoint, options] = line.split(' ');
    if (device === undefined || root === undefined) return [];
    if (mountPoint === undefined || options === undefined) return [];
    const readOnly = options.split(',').includes('ro');
    return [{ device, root: unescaped(root), mountPoint: unescaped(mountPoint), readOnly }];
  });
}

/** Space, tab, line end and backslash stand in octal. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/**
 * What a mount of a folder shows as its place. Undefined where no mount holds it.
 *
 * @param path Absolute, without links.
 */
export function placeOf(mounts: readonly Mount[], path: string): Place | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    const longer = best === undefined || mount.mountPoint.length >= best.mountPoint.length;
    if (longer && isWithin(path, mount.mountPoint)) best = mount;
  }
  if (best === undefined) return undefined;
  const below = best.mountPoint === '/' ? path : path.slice(best.mountPoint.length);
  return { device: best.device, root: best.root === '/' ? below || '/' : best.root + below };
}

/** Whether a mount shows a folder as it is now, and nobody can write through it. */
export function shows(mount: Mount, { device, root }: Place): boolean {
  return mount.device === device && mount.root === root && mount.readOnly;
}

/** Whether a path is a folder or lies beneath it; both absolute. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
