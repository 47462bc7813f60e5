import { join } from 'node:path';
import { run } from '../support/processes.ts';
import { fromDebian } from './debian.ts';

/** What Node.js for arm64 links to, as Debian has it for cross compilers. */
const LIBRARIES = [
  ...['libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross'],
  'libatomic1-arm64-cross',
];

/** How a program for arm64 is run on this machine. */
export interface Arm64Runner {
  /** Program and arguments before the program's own. */
  readonly command: readonly string[];
}

/** Brings QEMU's emulation of arm64 programs with the libraries they need; says why when it cannot. */
export async function prepareArm64(): Promise<Arm64Runner | string> {
  if (process.arch === 'arm64') return { command: [] };
  const installed = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'];
  if (await runs(installed)) return { command: installed };
  const packages = ['qemu-user-static', ...LIBRARIES];
  const works = (root: string): Promise<boolean> => runs(emulator(root));
  const place = await fromDebian({ name: 'qemu-arm64', packages, works });
  return place.missing ?? { command: emulator(place.root) };
}

function emulator(root: string): readonly string[] {
  return [join(root, 'usr/bin/qemu-aarch64-static'), '-L', join(root, 'usr/aarch64-linux-gnu')];
}

/** Whether it runs a dynamic program: the loader itself, which says its version. */
async function runs(command: readonly string[]): Promise<boolean> {
  const [program = '', ...args] = command;
  const loader = join(args.at(-1) ?? '', 'lib/ld-linux-aarch64.so.1');
  const found = await run(program, [...args, loader, '--version']).catch(() => undefined);
  return found?.code === 0;
}
