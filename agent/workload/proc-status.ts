import { closeSync, openSync, readSync } from 'node:fs';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';

/** Most supplementary groups that a process may have here; a selector is made for each. */
export const MAX_SUPPLEMENTARY_GROUPS = 1024;

/** What `/proc/<pid>/status` says about who a process is. */
export interface ProcessStatus {
  readonly pid: number;
  /** One letter, such as `S`; `Z` and `X` are dead. */
  readonly state: string;
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  readonly supplementaryGids: readonly number[];
}

/** Longest status text: the groups take most of it. */
const MAX_STATUS_BYTES = 64 * 1024;

/** Used for one reading at a time: reading does not leave the function in between. */
const statusBuffer = Buffer.alloc(MAX_STATUS_BYTES);

/**
 * Reads `/proc/<pid>/status`. Synchronous: the kernel makes the text at once, and a thread-pool round
 * trip costs several times more. Fails with AGENT_PROCESS_UNREADABLE.
 */
export function readProcessStatus(pid: number): Result<ProcessStatus> {
  const path = `/proc/${pid}/status`;
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    // One read: the kernel gives a status whole or, were it longer than the buffer, cut.
    const length = readSync(fd, statusBuffer, 0, MAX_STATUS_BYTES, null);
    if (length === MAX_STATUS_BYTES) {
      return fail('AGENT_PROCESS_UNREADABLE', `${path} is longer than ${MAX_STATUS_BYTES} bytes`);
    }
    return parseProcessStatus(statusBuffer.toString('latin1', 0, length));
  } catch (error) {
    return fail('AGENT_PROCESS_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
      cause: error,
    });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Reads the text of a status file. The kernel escapes newlines in the process's name, so a line that
 * starts with a key is the kernel's own; a key that is absent, stands twice or has another shape is
 * refused all the same. Fails with AGENT_PROCESS_UNREADABLE.
 */
export function parseProcessStatus(text: string): Result<ProcessStatus> {
  const pid = onlyMatch(text, /^Tgid:\t([0-9]+)$/gm);
  const state = onlyMatch(text, /^State:\t([A-Za-z]) \([a-z -]+\)$/gm);
  const uid = onlyMatch(text, /^Uid:\t[0-9]+\t([0-9]+)\t[0-9]+\t[0-9]+$/gm);
  const gid = onlyMatch(text, /^Gid:\t[0-9]+\t([0-9]+)\t[0-9]+\t[0-9]+$/gm);
  const groups = onlyMatch(text, /^Groups:\t?((?:[0-9]+ ?)*) *$/gm);
  if (
    pid === undefined ||
    state === undefined ||
    uid === undefined ||
    gid === undefined ||
    groups === undefined
  ) {
    return fail('AGENT_PROCESS_UNREADABLE', 'the status of a process has an unknown form');
  }
  const supplementaryGids = groups.split(' ').filter((part) => part !== '');
  if (supplementaryGids.length > MAX_SUPPLEMENTARY_GROUPS) {
    return fail(
      'AGENT_PROCESS_UNREADABLE',
      `process ${pid} has more than ${MAX_SUPPLEMENTARY_GROUPS} supplementary groups`,
    );
  }
  return ok({
    pid: Number(pid),
    state,
    uid: Number(uid),
    gid: Number(gid),
    supplementaryGids: supplementaryGids.map(Number),
  });
}

/** The first group of the pattern's only match. */
function onlyMatch(text: string, pattern: RegExp): string | undefined {
  const matches = [...text.matchAll(pattern)];
  return matches.length === 1 ? matches[0]?.[1] : undefined;
}
