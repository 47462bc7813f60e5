import { closeSync, constants } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { fail, ok, type Result } from '../../src/base/result.ts';

/** System calls by their numbers, which are the same on all architectures since Linux 5.0. */
const OPEN_TREE = 428;
const MOVE_MOUNT = 429;
const OPENAT2 = 437;
const MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const MS_PRIVATE = 1n << 18n;
/** RDONLY, NOSUID, NODEV, NOEXEC of mount_setattr(2). */
const LEAST_ATTRIBUTES = 1n | 2n | 4n | 8n;
/** NO_MAGICLINKS, NO_SYMLINKS, BENEATH of openat2(2). */
const RESOLVE_PLAINLY = 2n | 4n | 8n;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const OPEN_AS_PLACE = BigInt(O_PATH | O_CLOEXEC | constants.O_DIRECTORY);

/** What the driver asks of the kernel. Every call is immediate, so that no two of them interleave. */
export interface Kernel {
  /** Opens a folder that was named by the operator, as a place only (O_PATH). */
  openFolder(path: string): Result<Folder>;
  /** Opens a folder beneath another: no part of the path may be a link or lead out. */
  openBeneath(folder: Folder, path: string): Result<Folder>;
  /**
   * Shows a folder at `name` of another: read-only, without devices, set-user-ID and programs. The
   * mount has these attributes before anybody can see it, thus in every namespace that it reaches.
   */
  show(source: Folder, at: Folder, name: string): Result<void>;
  /** Takes the topmost mount at `name` away, also while it is in use; a link is not followed. */
  unmount(at: Folder, name: string): Result<void>;
}

/** An open folder. */
export interface Folder {
  readonly fd: number;
  /** A path that leads to this very folder for as long as it is open. */
  readonly path: string;
  close(): void;
}

/** The machine's kernel. Fails with CSI_MOUNT_FAILED where libc cannot be called. */
export async function loadKernel(): Promise<Result<Kernel>> {
  try {
    const { default: koffi } = await import('koffi');
    const libc = koffi.load(null);
    const type = (count: number, ...types: readonly string[]): string =>
      `long syscall(${['long', ...types].slice(0, count).join(', ')})`;
    return ok(
      kernelOf({
        errno: () => koffi.errno(),
        openTree: libc.func(type(4, 'long', 'str', 'long')),
        moveMount: libc.func(type(6, 'long', 'str', 'long', 'str', 'long')),
        openat2: libc.func(type(5, 'long', 'str', 'void *', 'long')),
        mountSetattr: libc.func(type(6, 'long', 'str', 'long', 'void *', 'long')),
        umount2: libc.func('int umount2(const char *target, int flags)'),
      }),
    );
  } catch (cause) {
    return fail('CSI_MOUNT_FAILED', 'the libc calls cannot be loaded', { cause });
  }
}

type Call = (...values: readonly (number | string | Buffer)[]) => number;

interface Libc {
  errno(): number;
  readonly openTree: Call;
  readonly moveMount: Call;
  readonly openat2: Call;
  readonly mountSetattr: Call;
  readonly umount2: Call;
}

function kernelOf(libc: Libc): Kernel {
  const attempt = (doing: string, call: () => number): Result<number> => {
    const answer = call();
    return answer >= 0 ? ok(answer) : refused(doing, libc.errno());
  };
  const open = (at: number, path: string, resolve: bigint): Result<Folder> => {
    const how = words(OPEN_AS_PLACE, 0n, resolve);
    const opened = attempt(`opening ${path}`, () => libc.openat2(OPENAT2, at, path, how, 24));
    return opened.ok ? ok(folder(opened.value)) : opened;
  };
  return {
    openFolder: (path) => open(AT_FDCWD, path, 0n),
    openBeneath: (above, path) => open(above.fd, path, RESOLVE_PLAINLY),
    show(source, at, name) {
      const flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC;
      const tree = attempt('open_tree', () => libc.openTree(OPEN_TREE, source.fd, '', flags));
      if (!tree.ok) return tree;
      const fd = tree.value;
      const attributes = words(LEAST_ATTRIBUTES, 0n, MS_PRIVATE, 0n);
      try {
        const set = attempt('mount_setattr', () =>
          libc.mountSetattr(MOUNT_SETATTR, fd, '', AT_EMPTY_PATH, attributes, 32),
        );
        if (!set.ok) return set;
        const moved = attempt('move_mount', () =>
          libc.moveMount(MOVE_MOUNT, fd, '', at.fd, name, MOVE_MOUNT_F_EMPTY_PATH),
        );
        return moved.ok ? ok(undefined) : moved;
      } finally {
        closeSync(fd);
      }
    },
    unmount(at, name) {
      const path = `${at.path}/${name}`;
      const done = attempt('umount2', () => libc.umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW));
      return done.ok ? ok(undefined) : done;
    },
  };
}

function folder(fd: number): Folder {
  return { fd, path: `/proc/self/fd/${fd}`, close: () => closeSync(fd) };
}

/** 64-bit words as the structures of these calls have them; both architectures are little-endian. */
function words(...values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => {
    bytes.writeBigUInt64LE(value, 8 * index);
  });
  return bytes;
}

function refused(doing: string, errno: number): Result<never> {
  const name = getSystemErrorName(-errno);
  return fail('CSI_MOUNT_FAILED', `${doing} failed: ${name}`, { details: { errno: name } });
}
