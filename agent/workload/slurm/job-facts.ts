import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import {
  isKubeObject,
  type KubeObject,
  objectsAt,
  textAt,
  valueAt,
} from '../../../src/kube/objects.ts';
import { runTool } from '../run-tool.ts';
import { shareAnswers } from '../share-answers.ts';
import type { JobPlace } from './job-place.ts';

/** What the Slurm controller says of a job. */
export interface JobFacts {
  readonly user: string;
  readonly account: string;
  readonly partition: string;
}

/** Which job. */
export type JobName = Pick<JobPlace, 'kind' | 'job'>;

/** Asks for the facts of a job. */
export type AskJob = (place: JobName) => Promise<Result<JobFacts>>;

/** Facts of a job are kept so long: its tasks start together, and ask together. */
const KEEP_MS = 30_000;

/**
 * Asks the controller by `scontrol show job --json`; tasks of one job share an answer. The form without
 * JSON is not used: a job's name and comment are its user's, and may look like other fields. Fails with
 * AGENT_JOB_UNKNOWN.
 */
export function askController(scontrolPath: string, clock: Clock): AskJob {
  const kinds = {
    job_id: shareAnswers((job) => ask(scontrolPath, { kind: 'job_id', job }), KEEP_MS, clock),
    sluid: shareAnswers((job) => ask(scontrolPath, { kind: 'sluid', job }), KEEP_MS, clock),
  };
  return ({ kind, job }) => kinds[kind](job);
}

async function ask(path: string, place: JobName): Promise<Result<JobFacts>> {
  const text = await runTool({
    path,
    args: ['--json', 'show', 'job', place.job],
    env: {},
    code: 'AGENT_JOB_UNKNOWN',
  });
  return text.ok ? parseJob(text.value, place) : text;
}

/** Reads the one job that was asked for; all of its facts, or none. */
export function parseJob(text: string, place: JobName): Result<JobFacts> {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    return fail('AGENT_JOB_UNKNOWN', 'scontrol answered with what is no JSON', { cause });
  }
  const jobs = isKubeObject(answer) ? objectsAt(answer, 'jobs') : [];
  const [job] = jobs;
  if (job === undefined || jobs.length !== 1 || idOf(job, place) !== place.job) {
    return fail('AGENT_JOB_UNKNOWN', `scontrol does not answer with job ${place.job}`);
  }
  const facts = {
    user: textAt(job, 'user_name') ?? '',
    account: textAt(job, 'account') ?? '',
    partition: textAt(job, 'partition') ?? '',
  };
  if (facts.user !== '' && facts.account !== '' && facts.partition !== '') return ok(facts);
  return fail('AGENT_JOB_UNKNOWN', `user, account or partition of job ${place.job} are not told`);
}

function idOf(job: KubeObject, { kind }: JobName): string {
  return String(valueAt(job, kind) ?? '');
}
