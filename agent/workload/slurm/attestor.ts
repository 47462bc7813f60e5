import { ok } from '../../../src/base/result.ts';
import type { PeerProcess } from '../../../src/rpc/service.ts';
import type { WorkloadAttestor } from '../attestor.ts';
import type { ReadCgroups } from '../container/cgroup-file.ts';
import type { AskJob } from './job-facts.ts';
import { type JobPlace, locateJob, sameJob } from './job-place.ts';

/** What the attestor asks for. */
export interface SlurmAttestorParts {
  readonly read: ReadCgroups;
  /** Absent where the controller is not asked. */
  readonly askJob: AskJob | undefined;
}

/**
 * The `slurm` attestor, with SPIRE's selectors `job_id` or `sluid`, and `step`; where the controller is
 * asked also `user`, `account` and `partition`, which SPIRE has not. A process in no job has none. Fails
 * with AGENT_CONTAINER_LAYOUT, AGENT_JOB_UNKNOWN or AGENT_PROCESS_UNREADABLE.
 */
export function createSlurmAttestor({ read, askJob }: SlurmAttestorParts): WorkloadAttestor {
  const known = new WeakMap<PeerProcess, { readonly place: JobPlace | undefined }>();
  return {
    name: 'slurm',
    async attest(process) {
      const paths = read(process.pid);
      const place = paths.ok ? locateJob(paths.value) : paths;
      if (!place.ok) return place;
      const selectors: string[] = [];
      if (place.value !== undefined) {
        const { kind, job, step } = place.value;
        selectors.push(`slurm:${kind}:${job}`, `slurm:step:${step}`);
        const facts = await askJob?.(place.value);
        if (facts?.ok === false) return facts;
        for (const [name, value] of Object.entries(facts?.value ?? {})) {
          if (value !== undefined) selectors.push(`slurm:${name}:${value}`);
        }
      }
      known.set(process, { place: place.value });
      return ok(selectors);
    },
    holds(process) {
      const before = known.get(process);
      const paths = read(process.pid);
      const now = paths.ok ? locateJob(paths.value) : paths;
      return before !== undefined && now.ok && sameJob(before.place, now.value);
    },
  };
}
