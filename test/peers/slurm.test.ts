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
import { fromDebian, libraryPath } from './debian.ts';

const PACKAGES = [
  ...['slurmctld', 'slurmd', 'slurm-client', 'slurm-wlm-basic-plugins'],
  ...['munge', 'libmunge2', 'libhwloc15', 'liblua5.1-0'],
];

let root = '/';

/** Why a real Slurm cannot run here; undefined where it can. */
async function missing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'slurmd has to be root to make cgroups';
  // Slurm 22.05 makes cgroups v2 by systemd only, which is not the first process everywhere.
  if (!existsSync('/sys/fs/cgroup/freezer')) return 'there is no cgroup v1 freezer';
  const place = await fromDebian({ name: 'slurm', packages: PACKAGES, works });
  if (place.missing !== undefined) return place.missing;
  root = place.root;
  return undefined;
}

async function works(at: string): Promise<boolean> {
  const env = libraryPath(at, 'slurm-wlm');
  const asked = ['sbin/slurmctld-wlm', 'sbin/slurmd-wlm', 'sbin/munged'].map((program) =>
    run(join(at, 'usr', program), ['-V'], { env }).catch(() => undefined),
  );
  return (await Promise.all(asked)).every((done) => done?.code === 0);
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
PluginDir=${join(root, 'usr/lib/x86_64-linux-gnu/slurm-wlm')}
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
    const places = [`--key-file=${dir}/munge.key`, `--socket=${socket}`, ...munge];
    this.#spawn('sbin/munged', '-F', '-f', ...places);
    await soon(async () => existsSync(socket));
    this.#spawn('sbin/slurmctld-wlm', '-D', '-i');
    await soon(async () => (await this.ask('sinfo', '-h')).includes('gpu'));
    this.#spawn('sbin/slurmd-wlm', '-D', '-d', join(root, 'usr/sbin/slurmstepd-wlm'));
    await soon(async () => (await this.ask('sinfo', '-h', '-o', '%T')).trim() === 'idle');
  }

  /** Path of a command that finds its libraries without an environment of ours. */
  squeue(): string {
    const path = join(this.dir, 'squeue');
    const libraries = libraryPath(root, 'slurm-wlm').LD_LIBRARY_PATH ?? '';
    const script = `#!/bin/sh\nLD_LIBRARY_PATH='${libraries}' exec '${root}/usr/bin/squeue' "$@"\n`;
    writeFileSync(path, script, { mode: 0o755 });
    return path;
  }

  /** Runs a command of Slurm; answers what it printed. */
  async ask(command: string, ...args: readonly string[]): Promise<string> {
    return (await run(join(root, 'usr/bin', command), args, { env: this.#env() })).stdout;
  }

  /** Starts a job of one step that only sleeps. */
  sleepingJob(...args: readonly string[]): ChildProcess {
    return this.#spawn('bin/srun', ...args, 'sleep', '600');
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) await stopChild(child);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #spawn(command: string, ...args: readonly string[]): ChildProcess {
    const child = spawn(join(root, 'usr', command), args, { env: this.#env(), stdio: 'ignore' });
    this.#children.push(child);
    return child;
  }

  #env(): NodeJS.ProcessEnv {
    return { ...libraryPath(root, 'slurm-wlm'), SLURM_CONF: this.confPath };
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
    const place = { squeuePath: rig.squeue(), confPath: rig.confPath };
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
