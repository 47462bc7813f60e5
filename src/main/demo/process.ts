import { spawn } from 'node:child_process';
import { constants, copyFileSync, linkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DemoEvent, DemoOrder } from './protocol.ts';
import { TellingProcess } from './telling-process.ts';

/** A process of the demo that asks the Workload API for an identity. */
export class DemoProcess extends TellingProcess<DemoEvent, DemoOrder> {
  /** The binary it runs: by this path the agent tells the processes apart. */
  readonly binary: string;

  /** Starts it on a copy of Node.js of its own. */
  constructor(name: string, folder: string, workloadSocket: string) {
    const binary = join(folder, name);
    copyBinary(binary);
    const program = join(dirname(process.argv[1] ?? ''), 'demo-workload.js');
    const child = spawn(binary, ['--disable-sigusr1', program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: `unix://${workloadSocket}` },
    });
    super(name, child);
    this.binary = binary;
  }
}

/** A hard link costs nothing; where the file system or the kernel forbids it, a copy. */
function copyBinary(path: string): void {
  try {
    linkSync(process.execPath, path);
  } catch {
    copyFileSync(process.execPath, path, constants.COPYFILE_FICLONE);
  }
}
