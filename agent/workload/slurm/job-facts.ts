import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { runTool } from '../run-tool.ts';
import { shareAnswers } from '../share-answers.ts';
import type { JobPlace } from './job-place.ts';

/** What the Slurm controller says of a job. */
export interface JobFacts {
  readonly user: string;
  /** Undefined where the cluster keeps no accounts. */
  readonly account: string | undefined;
  readonly partition: string;
}

/** Which job. */
export type JobName = Pick<JobPlace, 'kind' | 'job'>;

/** Asks for the facts of a job. */
export type AskJob = (name: JobName) => Promise<Result<JobFacts>>;

/** How the controller is asked. */
export interface ControllerPlace {
  readonly squeuePath: string;
  /** slurm.conf; where Slurm has it unless set. */
  readonly confPath?: string | undefined;
}

/** Facts of a job are kept so long: its tasks start together, and ask together. */
const KEEP_MS = 30_000;

/** Id, user, account, partition: nothing that the job's user may word freely, as its name or comment. */
const FORMAT = '%A|%u|%a|%P';

/** What Slurm prints in place of an account where there is none. */
const NO_ACCOUNT = '(null)';

/**
 * Asks the controller by `squeue`; tasks of one job share an answer. Jobs that the cgroup names by their
 * SLUID cannot be asked about. Fails with AGENT_JOB_UNKNOWN.
 */
export function askController({ squeuePath, confPath }: ControllerPlace, clock: Clock): AskJob {
  const ask = async (job: string): Promise<Result<JobFacts>> => {
    const text = await runTool({
      path: squeuePath,
      args: ['--noheader', `--jobs=${job}`, '--states=all', `--format=${FORMAT}`],
      env: confPath === undefined ? {} : { SLURM_CONF: confPath },
      code: 'AGENT_JOB_UNKNOWN',
    });
    return text.ok ? parseJob(text.value, job) : text;
  };
  const shared = shareAnswers(ask, KEEP_MS, clock);
  return async ({ kind, job }) => {
    if (kind === 'job_id') return shared(job);
    return fail('AGENT_JOB_UNKNOWN', `job ${job} has no number in its cgroup (CgroupJobIdPaths)`);
  };
}

/** Reads the line of the job that was asked for, among those of its array; all of its facts, or none. */
export function parseJob(text: string, job: string): Result<JobFacts> {
  const lines = text.split('\n').filter((line) => line.startsWith(`${job}|`));
  const [, user, account, partition] =
    /^[0-9]+\|([^|\s()]+)\|([^|\s]+)\|([^|\s(),]+)$/.exec(lines[0] ?? '') ?? [];
  if (
    lines.length !== 1 ||
    user === undefined ||
    account === undefined ||
    partition === undefined
  ) {
    return fail('AGENT_JOB_UNKNOWN', `squeue does not tell of job ${job}`);
  }
  return ok({ user, account: account === NO_ACCOUNT ? undefined : account, partition });
}
