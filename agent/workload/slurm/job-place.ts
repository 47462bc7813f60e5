import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { CgroupPaths } from '../container/cgroup-file.ts';

/** The step of a Slurm job that a process is in. */
export interface JobPlace {
  /** How the cgroup names the job: by its number, or by its SLUID (Slurm 25.11). */
  readonly kind: 'job_id' | 'sluid';
  readonly job: string;
  /** A number, or `batch`, `extern`, `interactive`. */
  readonly step: string;
}

const STEP = 'step_(?<step>[A-Za-z0-9_]{1,64})(?=/|$)';

/**
 * Where slurmstepd puts the processes of a step, from the root of the tree, which only root can write:
 * `system.slice` under cgroup v2, a folder `slurm` under v1. Look-alikes in a subtree that a user was
 * given do not begin there.
 */
const LAYOUTS: readonly RegExp[] = [
  new RegExp(
    `^/system\\.slice/(?:[^/]+_)?slurmstepd\\.scope/(?:job_(?<number>[0-9]{1,10})|(?<sluid>s[0-9A-Za-z]{1,32}))/${STEP}`,
  ),
  new RegExp(`^/slurm(?:_[^/]+)?/uid_[0-9]{1,10}/job_(?<number>[0-9]{1,10})/${STEP}`),
];

/** Signs of a job in a path that fits no layout. */
const JOB_SIGN = /slurmstepd\.scope\/(?:job_|s[0-9A-Z])|\/job_[0-9]+\/step_/;

/**
 * The job and step that the cgroups of a process name; undefined where they name none. Fails with
 * AGENT_CONTAINER_LAYOUT where they differ, or look like a job's and are in no known place.
 */
export function locateJob(paths: CgroupPaths): Result<JobPlace | undefined> {
  let found: JobPlace | undefined;
  for (const path of paths) {
    // Dots stand before what is outside the agent's cgroup namespace.
    const tail = path.replace(/^(?:\/\.\.)+(?=\/|$)/, '');
    const place = placeOf(tail);
    if (place === undefined) {
      if (!JOB_SIGN.test(tail)) continue;
      return fail('AGENT_CONTAINER_LAYOUT', 'a cgroup looks like that of a Slurm job and is none');
    }
    if (found !== undefined && !sameJob(found, place)) {
      return fail('AGENT_CONTAINER_LAYOUT', 'the cgroups of the process name several Slurm jobs');
    }
    found = place;
  }
  return ok(found);
}

/** Whether two answers are about the same step. */
export function sameJob(one: JobPlace | undefined, other: JobPlace | undefined): boolean {
  return one?.kind === other?.kind && one?.job === other?.job && one?.step === other?.step;
}

function placeOf(path: string): JobPlace | undefined {
  for (const pattern of LAYOUTS) {
    const { number, sluid, step } = pattern.exec(path)?.groups ?? {};
    if (step === undefined) continue;
    if (number !== undefined) return { kind: 'job_id', job: number, step };
    if (sluid !== undefined) return { kind: 'sluid', job: sluid, step };
  }
  return undefined;
}
