import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finished, run, stopChild, waitForSocket } from '../support/processes.ts';
import { fromDebian, libraryPath } from './debian.ts';

const PACKAGES = [
  ...['swtpm', 'swtpm-libs', 'libtpms0', 'libjson-glib-1.0-0', 'tpm2-tools', 'libtss2-mu0'],
  ...['libtss2-sys1', 'libtss2-esys-3.0.2-0', 'libtss2-tctildr0', 'libtss2-tcti-swtpm0'],
  ...['libtss2-tcti-device0', 'libtss2-tcti-mssim0', 'libtss2-rc0', 'libtss2-fapi1'],
];
let root = '/';

/** Brings swtpm and tpm2-tools; says why when it cannot. */
export async function prepareSwtpm(): Promise<string | undefined> {
  const place = await fromDebian({ name: 'swtpm', packages: PACKAGES, works });
  if (place.missing !== undefined) return place.missing;
  root = place.root;
  return undefined;
}

async function works(at: string): Promise<boolean> {
  const asked = [
    ['swtpm', '--version'],
    ['tpm2', 'rc_decode', '0'],
  ];
  const found = await Promise.all(
    asked.map(([program = '', ...args]) =>
      run(join(at, 'usr/bin', program), args, { env: environment(at) }).catch(() => undefined),
    ),
  );
  return found.every((done) => done?.code === 0);
}

function environment(at = root): NodeJS.ProcessEnv {
  return libraryPath(at, 'swtpm');
}

/** A TPM in software, new, with its state in a folder of its own. */
export interface Swtpm {
  readonly dir: string;
  /** As `attestation.tpm.device` names it. */
  readonly device: string;
  /** Path of the socket. */
  readonly path: string;
  /** Runs `tpm2 <tool> …` against it, in its folder. */
  tool(...args: string[]): Promise<Finished>;
  /** Cuts its power, does something to its state, and switches it on again. */
  powerCycle(meanwhile?: () => void): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a TPM that was powered on a moment ago. */
export async function startSwtpm(): Promise<Swtpm> {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-tpm-'));
  const path = join(dir, 'sock');
  const argv = [
    ...['socket', '--tpm2', '--tpmstate', `dir=${dir}`],
    ...['--server', `type=unixio,path=${path}`, '--ctrl', `type=unixio,path=${path}.ctrl`],
    ...['--flags', 'not-need-init,startup-clear'],
  ];
  const start = async (): Promise<ChildProcess> => {
    const options = { env: environment(), stdio: 'ignore' } as const;
    const started = spawn(join(root, 'usr/bin/swtpm'), argv, options);
    await waitForSocket(path, started);
    return started;
  };
  let child = await start();
  const tool = (...args: string[]): Promise<Finished> =>
    run(join(root, 'usr/bin/tpm2'), args, {
      cwd: dir,
      env: { ...environment(), TPM2TOOLS_TCTI: `swtpm:path=${path}` },
    });
  return {
    dir,
    path,
    device: `unix:${path}`,
    tool,
    async powerCycle(meanwhile = () => {}) {
      await stopChild(child, 'SIGKILL');
      for (const socket of [path, `${path}.ctrl`]) rmSync(socket, { force: true });
      meanwhile();
      child = await start();
      // It listens before it has counted the boot; an answer comes after.
      await tool('readclock');
    },
    async stop() {
      await stopChild(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
