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
import { askController, type JobFacts, parseJob } from './job-facts.ts';
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
  const facts: JobFacts = { user: 'alice', account: 'physics', partition: 'gpu' };
  function rig(answer?: Result<JobFacts>) {
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
  const PLACE = { kind: 'job_id', job: '123' } as const;
  const LINE = '123|alice|physics|gpu';

  test('is believed of the one job that was asked for, also within its array', () => {
    const facts = { user: 'alice', account: 'physics', partition: 'gpu' };
    assert.deepEqual(assertValue(parseJob(`${LINE}\n`, '123')), facts);
    assert.deepEqual(assertValue(parseJob(`124|bob|x|y\n${LINE}\n1234|eve|x|y\n`, '123')), facts);
  });

  test('tells no account where the cluster keeps none', () => {
    assert.equal(assertValue(parseJob('123|alice|(null)|gpu', '123')).account, undefined);
  });

  for (const text of [
    '',
    '124|alice|physics|gpu',
    `${LINE}\n${LINE}`,
    '123|alice|physics',
    '123|alice|physics|gpu|root',
    '123||physics|gpu',
    '123|alice||gpu',
    '123|alice|physics|',
    '123|alice|physics|gpu,debug',
    '123|(null)|physics|gpu',
    'slurm_load_jobs error',
  ]) {
    test(`is not believed with ${JSON.stringify(text)}`, () => {
      assertRefused(parseJob(text, '123'), 'AGENT_JOB_UNKNOWN');
    });
  }

  test('is asked once for the tasks of a job, again later, and after a failure at once', async (context) => {
    const folder = temporaryFolder(context);
    const squeuePath = join(folder, 'fake-squeue');
    const asked = join(folder, 'asked');
    writeFileSync(asked, '');
    const script = (text: string) =>
      `#!/bin/sh\necho "$* $SLURM_CONF" >>${asked}\necho '${text}'\n`;
    writeFileSync(squeuePath, script('none'));
    chmodSync(squeuePath, 0o755);
    const clock = new ManualClock(0);
    const ask = askController({ squeuePath, confPath: '/etc/s.conf' }, clock);
    const calls = () => readFileSync(asked, 'utf8').trim().split('\n');
    assertRefused(await ask(PLACE), 'AGENT_JOB_UNKNOWN');
    writeFileSync(squeuePath, script(LINE));
    const tasks = await Promise.all([ask(PLACE), ask(PLACE), ask(PLACE)]);
    assert.ok(tasks.every((one) => one.ok));
    const call = '--noheader --jobs=123 --states=all --format=%A|%u|%a|%P /etc/s.conf';
    assert.deepEqual(calls(), [call, call]);
    clock.advance(30_000);
    assertValue(await ask(PLACE));
    assert.equal(calls().length, 3);
    assertRefused(await ask({ kind: 'sluid', job: 's2F' }), 'AGENT_JOB_UNKNOWN');
    const absent = askController({ squeuePath: `${squeuePath}-absent` }, clock);
    assertRefused(await absent(PLACE), 'AGENT_JOB_UNKNOWN');
  });
});
