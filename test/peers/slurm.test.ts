import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cgroupReader } from '../../agent/workload/container/cgroup-file.ts';
import { createSlurmAttestor } from '../../agent/workload/slurm/attestor.ts';
import { askController } from '../../agent/workload/slurm/job-facts.ts';
import { systemClock } from '../../src/base/clock.ts';
import { freePort, run, soon, stopChild } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { has } from './build.ts';

/** Why a real Slurm cannot run here; undefined where it can. */
async function missing(): Promise<string | undefined> {
  for (const [program, name] of [
    ['slurmctld', 'slurmctld'],
    ['slurmd', 'slurmd'],
    ['srun', 'slurm-client'],
    ['munged', 'munge'],
  ] as const) {
    if (!(await has(program))) return `the Debian package ${name} is not installed`;
  }
  if (process.getuid?.() !== 0) return 'slurmd has to be root to make cgroups';
  // Slurm 22.05 makes cgroups v2 by systemd only, which is not the first process everywhere.
  return existsSync('/sys/fs/cgroup/freezer') ? undefined : 'there is no cgroup v1 freezer';
}

/** A Slurm of one node on loopback: munge, controller, node daemon. */
class SlurmRig {
  readonly dir = mkdtempSync(join(tmpdir(), 'sgn-slurm-'));
  readonly confPath = join(this.dir, 'slurm.conf');
  readonly #children: ChildProcess[] = [];

  async start(): Promise<void> {
    const { dir } = this;
    const node = hostname().split('.')[0] ?? '';
    for (const folder of ['state', 'spool', 'munge']) mkdirSync(join(dir, folder), { mode: 0o700 });
    writeFileSync(join(dir, 'munge.key'), randomBytes(1024), { mode: 0o400 });
    const socket = join(dir, 'munge', 'munge.sock');
    writeFileSync(
      join(dir, 'cgroup.conf'),
      'CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n',
    );
    writeFileSync(
      this.confPath,
      `ClusterName=rig
SlurmctldHost=${node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=${socket}
SlurmctldPort=${await freePort()}
SlurmdPort=${await freePort()}
StateSaveLocation=${dir}/state
SlurmdSpoolDir=${dir}/spool
SlurmctldPidFile=${dir}/slurmctld.pid
SlurmdPidFile=${dir}/slurmd.pid
ProctrackType=proctrack/cgroup
TaskPlugin=task/none
ReturnToService=2
NodeName=${node} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=gpu Nodes=${node} Default=YES State=UP
`,
    );
    const munge = ['pid-file', 'log-file', 'seed-file'].map(
      (one) => `--${one}=${dir}/munge/${one}`,
    );
    this.#spawn(
      'munged',
      '-F',
      '-f',
      `--key-file=${dir}/munge.key`,
      `--socket=${socket}`,
      ...munge,
    );
    await soon(async () => existsSync(socket));
    this.#spawn('slurmctld', '-D', '-i');
    await soon(async () => (await this.ask('sinfo', '-h')).includes('gpu'));
    this.#spawn('slurmd', '-D');
    await soon(async () => (await this.ask('sinfo', '-h', '-o', '%T')).trim() === 'idle');
  }

  /** Runs a command of Slurm; answers what it printed. */
  async ask(command: string, ...args: readonly string[]): Promise<string> {
    const env = { ...process.env, SLURM_CONF: this.confPath };
    return (await run(command, args, { env })).stdout;
  }

  /** Starts a job of one step that only sleeps. */
  sleepingJob(...args: readonly string[]): ChildProcess {
    return this.#spawn('srun', ...args, 'sleep', '600');
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) await stopChild(child);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #spawn(command: string, ...args: readonly string[]): ChildProcess {
    const env = { ...process.env, SLURM_CONF: this.confPath };
    const child = spawn(command, args, { env, stdio: 'ignore' });
    this.#children.push(child);
    return child;
  }
}

/** Processes whose cgroups name a step of a job. */
function processesOf(job: string): readonly number[] {
  const read = cgroupReader();
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const paths = read(pid);
      return paths.ok && paths.value.some((path) => path.includes(`/job_${job}/`));
    });
}

const why = await missing();

describe('a real Slurm', why === undefined ? {} : skipUnlessCi(why), () => {
  let rig: SlurmRig;
  before(async () => {
    rig = new SlurmRig();
    await rig.start();
  });
  after(() => rig?.stop());

  test('puts its jobs where the attestor finds them, and tells whose they are', async () => {
    // A name that would be two more fields in the form for people.
    const job = rig.sleepingJob('--job-name=x Account=admin|root|admin|infra');
    await soon(async () => (await rig.ask('squeue', '-h', '-o', '%T')).trim() === 'RUNNING');
    const id = (await rig.ask('squeue', '-h', '-o', '%A')).trim();
    await soon(async () => processesOf(id).length > 0);
    const [pid] = processesOf(id);
    assert.ok(pid);
    const place = { squeuePath: '/usr/bin/squeue', confPath: rig.confPath };
    const askJob = askController(place, systemClock);
    const attestor = createSlurmAttestor({ read: cgroupReader(), askJob });
    const peer = { pid, uid: 0, gid: 0, isAlive: () => true };
    assert.deepEqual(assertValue(await attestor.attest(peer)), [
      `slurm:job_id:${id}`,
      'slurm:step:0',
      'slurm:user:root',
      'slurm:partition:gpu',
    ]);
    assert.ok(attestor.holds(peer, []));
    const outside = { ...peer, pid: process.pid };
    assert.deepEqual(assertValue(await attestor.attest(outside)), []);
    await rig.ask('scancel', id);
    await soon(async () => processesOf(id).length === 0);
    if (job.exitCode === null && job.signalCode === null) job.kill('SIGKILL');
  });
});
