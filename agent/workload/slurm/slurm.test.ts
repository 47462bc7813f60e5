import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { temporaryFolder } from '../../../test/support/rpc.ts';
import type { CgroupPaths } from '../container/cgroup-file.ts';
import { createSlurmAttestor } from './attestor.ts';
import { askController, parseJob } from './job-facts.ts';
import { type JobPlace, locateJob } from './job-place.ts';

const PEER = { pid: 42, uid: 1000, gid: 1000, isAlive: () => true };
const JOB = '/system.slice/slurmstepd.scope/job_123/step_0/user/task_0';

function shown(result: Result<JobPlace | undefined>): string {
  if (!result.ok) return result.error.code;
  return result.value === undefined
    ? 'none'
    : `${result.value.kind} ${result.value.job} ${result.value.step}`;
}

describe('the Slurm job of a cgroup', () => {
  const table: readonly [string, readonly string[], string][] = [
    ['cgroup v2', [JOB], 'job_id 123 0'],
    [
      'a batch step',
      ['/system.slice/slurmstepd.scope/job_123/step_batch/user'],
      'job_id 123 batch',
    ],
    ['several slurmd', ['/system.slice/n1_slurmstepd.scope/job_123/step_0'], 'job_id 123 0'],
    ['a SLUID', ['/system.slice/slurmstepd.scope/s2FJ0Q/step_0/slurm'], 'sluid s2FJ0Q 0'],
    ['cgroup v1', ['/slurm/uid_1000/job_123/step_0/task_0', '/'], 'job_id 123 0'],
    ['cgroup v1 with a name', ['/slurm_n1/uid_1000/job_123/step_extern'], 'job_id 123 extern'],
    ['an agent in a container', [`/../../..${JOB}`], 'job_id 123 0'],
    ['no job', ['/system.slice/sshd.service', '/'], 'none'],
    ['slurmstepd itself', ['/system.slice/slurmstepd.scope/system'], 'none'],
    [
      "a subtree of the user's",
      [`/user.slice/user-1000.slice/user@1000.service${JOB}`],
      'AGENT_CONTAINER_LAYOUT',
    ],
    ["a container's inside", [`/docker/aa${JOB}`], 'AGENT_CONTAINER_LAYOUT'],
    [
      'another unit',
      ['/system.slice/evil.service/slurmstepd.scope/job_1/step_0'],
      'AGENT_CONTAINER_LAYOUT',
    ],
    ['a job without a step', ['/system.slice/slurmstepd.scope/job_123'], 'AGENT_CONTAINER_LAYOUT'],
    [
      '11 digits',
      ['/system.slice/slurmstepd.scope/job_12345678901/step_0'],
      'AGENT_CONTAINER_LAYOUT',
    ],
    ['two jobs', [JOB, JOB.replace('123', '124')], 'AGENT_CONTAINER_LAYOUT'],
    ['two steps', [JOB, JOB.replace('step_0', 'step_1')], 'AGENT_CONTAINER_LAYOUT'],
  ];
  for (const [name, paths, expected] of table) {
    test(`is ${expected}: ${name}`, () => assert.equal(shown(locateJob(paths)), expected));
  }

  test('is never an exception', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 4 }), (parts) => {
        locateJob([`/system.slice/slurmstepd.scope/${parts.join('/')}`, `/${parts.join('/')}`]);
      }),
    );
  });
});

describe('the slurm attestor', () => {
  const facts = { user: 'alice', account: 'physics', partition: 'gpu' };
  function rig(answer?: Result<typeof facts>) {
    const state: { paths: Result<CgroupPaths> } = { paths: ok([JOB]) };
    const askJob = answer === undefined ? undefined : async () => answer;
    return { state, attestor: createSlurmAttestor({ read: () => state.paths, askJob }) };
  }

  test("gives SPIRE's selectors, and the controller's where it is asked", async () => {
    const plain = ['slurm:job_id:123', 'slurm:step:0'];
    assert.deepEqual(assertValue(await rig().attestor.attest(PEER)), plain);
    assert.deepEqual(assertValue(await rig(ok(facts)).attestor.attest(PEER)), [
      ...plain,
      'slurm:user:alice',
      'slurm:account:physics',
      'slurm:partition:gpu',
    ]);
  });

  test('gives none to a process of no job, and asks nobody', async () => {
    const { state, attestor } = rig(fail('AGENT_JOB_UNKNOWN', 'planted'));
    state.paths = ok(['/']);
    assert.deepEqual(assertValue(await attestor.attest(PEER)), []);
    assert.ok(attestor.holds(PEER, []));
  });

  test('refuses a job that the controller does not tell of', async () => {
    const { attestor } = rig(fail('AGENT_JOB_UNKNOWN', 'planted'));
    assertRefused(await attestor.attest(PEER), 'AGENT_JOB_UNKNOWN');
    assert.equal(attestor.holds(PEER, []), false);
  });

  test('holds until the process is in another step', async () => {
    const { state, attestor } = rig();
    assertValue(await attestor.attest(PEER));
    assert.ok(attestor.holds(PEER, []));
    state.paths = ok([JOB.replace('step_0', 'step_1')]);
    assert.equal(attestor.holds(PEER, []), false);
    state.paths = fail('AGENT_PROCESS_UNREADABLE', 'planted');
    assert.equal(attestor.holds(PEER, []), false);
  });
});

describe('the controller', () => {
  const PLACE: JobPlace = { kind: 'job_id', job: '123', step: '0' };
  const job = { job_id: 123, user_name: 'alice', account: 'physics', partition: 'gpu', name: 'x' };
  const answer = (...jobs: readonly object[]) => JSON.stringify({ jobs, errors: [] });

  test('is believed of the one job that was asked for', () => {
    const facts = assertValue(parseJob(answer({ ...job, name: 'account=root' }), PLACE));
    assert.deepEqual(facts, { user: 'alice', account: 'physics', partition: 'gpu' });
    const sluid = { kind: 'sluid', job: 's2F', step: '0' } as const;
    assert.equal(assertValue(parseJob(answer({ ...job, sluid: 's2F' }), sluid)).user, 'alice');
  });

  for (const [name, text] of [
    ['another job', answer({ ...job, job_id: 124 })],
    ['no job', answer()],
    ['two jobs', answer(job, job)],
    ['a job without an account', answer({ ...job, account: '' })],
    ['a job without a user', answer({ ...job, user_name: undefined })],
    ['a partition that is no text', answer({ ...job, partition: ['gpu'] })],
    ['no JSON', 'slurm_load_jobs error'],
  ] as const) {
    test(`is not believed with ${name}`, () => {
      assertRefused(parseJob(text, PLACE), 'AGENT_JOB_UNKNOWN');
    });
  }

  test('is asked once for the tasks of a job, again later, and after a failure at once', async (context) => {
    const folder = temporaryFolder(context);
    const scontrol = join(folder, 'fake-scontrol');
    const asked = join(folder, 'asked');
    writeFileSync(asked, '');
    const script = (text: string) =>
      `#!/bin/sh\necho "$*" >>${asked}\n/bin/cat <<'END'\n${text}\nEND\n`;
    writeFileSync(scontrol, script('none'));
    chmodSync(scontrol, 0o755);
    const clock = new ManualClock(0);
    const ask = askController(scontrol, clock);
    const calls = () => readFileSync(asked, 'utf8').trim().split('\n');
    assertRefused(await ask(PLACE), 'AGENT_JOB_UNKNOWN');
    writeFileSync(scontrol, script(answer(job)));
    const tasks = await Promise.all([ask(PLACE), ask(PLACE), ask(PLACE)]);
    assert.ok(tasks.every((one) => one.ok));
    assert.deepEqual(calls(), ['--json show job 123', '--json show job 123']);
    clock.advance(30_000);
    assertValue(await ask(PLACE));
    assert.equal(calls().length, 3);
    assertRefused(await askController(`${scontrol}-absent`, clock)(PLACE), 'AGENT_JOB_UNKNOWN');
  });
});
