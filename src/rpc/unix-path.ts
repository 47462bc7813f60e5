import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, isAbsolute, normalize } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';

/** Longest path of a Unix socket in bytes: sun_path less its final NUL (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Where a socket is about to be bound. */
export interface SocketPlace {
  readonly path: string;
  /** Permission bits of the folder, when it is made here. */
  readonly folderMode: number;
  /** Group of the folder, when it is made here. */
  readonly groupId?: number;
}

/**
 * Makes a path ready to bind a socket: a folder that only this user and root can change, and nothing
 * at the path itself. What a dead process left there is removed.
 */
export async function claimSocketPath(place: SocketPlace): Promise<Result<void>> {
  const { path } = place;
  const spelled = checkSocketPath(path);
  if (!spelled.ok) return spelled;
  const folder = claimFolder(dirname(path), place);
  if (!folder.ok) return folder;
  const found = statOf(path);
  if (found === undefined) return ok(undefined);
  if (!found.isSocket()) {
    return fail('SOCKET_PATH_UNSAFE', `${path} exists and is not a socket`);
  }
  if (await isAnswered(path)) {
    return fail('SOCKET_IN_USE', `${path} is held by a live process`);
  }
  return attempt(`removing the stale socket ${path}`, () => unlinkSync(path));
}

/** Checks how a socket's path is spelled: SOCKET_PATH_TOO_LONG or SOCKET_PATH_INVALID. Reads no disk. */
export function checkSocketPath(path: string): Result<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    return fail(
      'SOCKET_PATH_TOO_LONG',
      `socket path has ${bytes} bytes, at most ${MAX_SOCKET_PATH_BYTES} are possible: ${path}`,
    );
  }
  const plain = isAbsolute(path) && normalize(path) === path && !path.includes('\0');
  if (plain && !path.endsWith('/')) return ok(undefined);
  return fail('SOCKET_PATH_INVALID', `socket path is not an absolute file path: ${path}`);
}

function claimFolder(folder: string, place: SocketPlace): Result<void> {
  const found = statOf(folder);
  if (found === undefined) {
    return attempt(`making the folder ${folder}`, () => {
      mkdirSync(dirname(folder), { recursive: true, mode: 0o755 });
      mkdirSync(folder, { mode: 0o700 });
      if (place.groupId !== undefined) chownSync(folder, -1, place.groupId);
      chmodSync(folder, place.folderMode);
    });
  }
  if (!found.isDirectory()) {
    return fail('SOCKET_PATH_UNSAFE', `${folder} is not a folder (a link is not followed)`);
  }
  const self = process.geteuid?.();
  if (found.uid !== 0 && found.uid !== self) {
    return fail('SOCKET_PATH_UNSAFE', `${folder} belongs to another user (uid ${found.uid})`);
  }
  // In a sticky folder others may write, but not replace what is ours.
  const open = (found.mode & 0o022) !== 0 && (found.mode & 0o1000) === 0;
  if (open) return fail('SOCKET_PATH_UNSAFE', `${folder} may be written by others`);
  return ok(undefined);
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function attempt(doing: string, act: () => void): Result<void> {
  try {
    act();
    return ok(undefined);
  } catch (cause) {
    return fail('LISTEN_FAILED', `${doing} failed: ${systemReason(cause)}`, { cause });
  }
}

/** The system's error code of a failure, such as EACCES. */
export function systemReason(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason';
}

/** Whether somebody listens: only a refused connection says that nobody does. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (cause) => {
      const reason = systemReason(cause);
      resolve(reason !== 'ECONNREFUSED' && reason !== 'ENOENT');
    });
  });
}
