import { closeSync, openSync, readSync } from 'node:fs';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { errnoCode } from '../../../src/runtime/atomic-file.ts';

/** Most lines of a cgroup file: one for each hierarchy, of which the kernel has a dozen kinds. */
export const MAX_CGROUP_LINES = 64;

/** Longest cgroup file: each line is a path of at most 4 KiB. */
const MAX_CGROUP_BYTES = 64 * 1024;

/** Used for one reading at a time: reading does not leave the function in between. */
const cgroupBuffer = Buffer.alloc(MAX_CGROUP_BYTES);

/** The cgroups of a process: one path for each hierarchy, as the agent's cgroup namespace shows them. */
export type CgroupPaths = readonly string[];

/** Reads the cgroups of a process, or of the caller itself. */
export type ReadCgroups = (pid: number | 'self') => Result<CgroupPaths>;

/**
 * Reads `/proc/<pid>/cgroup`, which the kernel alone writes. `/proc/<pid>/mountinfo` is never read: it
 * is the process's own view, and whoever may mount shows another's cgroup there. Synchronous, as in
 * proc-status.ts. Answers a reader that fails with AGENT_PROCESS_UNREADABLE or AGENT_CONTAINER_LAYOUT.
 *
 * @param procRoot Where proc is mounted; tests have trees of their own.
 */
export function cgroupReader(procRoot = '/proc'): ReadCgroups {
  return (pid) => {
    const path = `${procRoot}/${pid}/cgroup`;
    let fd: number | undefined;
    try {
      fd = openSync(path, 'r');
      const length = readWhole(fd);
      if (length === MAX_CGROUP_BYTES) {
        return fail('AGENT_PROCESS_UNREADABLE', `${path} is longer than ${MAX_CGROUP_BYTES} bytes`);
      }
      return parseCgroupFile(cgroupBuffer.toString('latin1', 0, length));
    } catch (error) {
      return fail('AGENT_PROCESS_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
        cause: error,
      });
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  };
}

/**
 * Reads the text of a cgroup file: `hierarchy:controllers:path` in each line (cgroups(7)). The kernel
 * refuses newlines in names of cgroups, so a line is its own. Fails with AGENT_CONTAINER_LAYOUT, also
 * for a cgroup that was removed while the process is in it: whose it was is no longer certain.
 */
export function parseCgroupFile(text: string): Result<CgroupPaths> {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0 || lines.length > MAX_CGROUP_LINES) {
    return fail('AGENT_CONTAINER_LAYOUT', `a cgroup file of ${lines.length} lines`);
  }
  const paths = new Set<string>();
  for (const line of lines) {
    const path = /^[0-9]{1,10}:[^:]*:(\/[^\0]*)$/.exec(line)?.[1];
    if (path === undefined) {
      return fail('AGENT_CONTAINER_LAYOUT', 'a line of a cgroup file is malformed');
    }
    if (path.endsWith(' (deleted)')) {
      return fail('AGENT_CONTAINER_LAYOUT', 'the process is in a cgroup that was removed');
    }
    paths.add(path);
  }
  return ok([...paths]);
}

/** Reads to the end or until the buffer is full: proc gives long files in parts. */
function readWhole(fd: number): number {
  let length = 0;
  for (;;) {
    const read = readSync(fd, cgroupBuffer, length, MAX_CGROUP_BYTES - length, null);
    length += read;
    if (read === 0 || length === MAX_CGROUP_BYTES) return length;
  }
}
