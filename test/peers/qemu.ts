import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../support/processes.ts';
import { build, cacheDir, has } from './build.ts';

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
  if (await works(installed)) return { command: installed };
  const dir = cacheDir('qemu-arm64');
  const own = [join(dir, 'usr/bin/qemu-aarch64-static'), '-L', join(dir, 'usr/aarch64-linux-gnu')];
  if (await works(own)) return { command: own };
  if (!(await has('apt-get')) || !(await has('dpkg'))) return 'qemu-aarch64 is not installed';
  for (const folder of ['lists/partial', 'cache'])
    mkdirSync(join(dir, folder), { recursive: true });
  // Package lists of our own, and unpacked in place of installed: neither needs root.
  const apt = `apt-get -o Dir::State::Lists=${dir}/lists -o Dir::Cache=${dir}/cache -q`;
  const script = `test -e done || { ${apt} update && ${apt} download qemu-user-static ${LIBRARIES.join(' ')} &&
    for deb in *.deb; do dpkg -x "$deb" . || exit 1; done && touch done; }`;
  const fetched = await build([['flock', ['lock', 'sh', '-c', script], dir]]);
  if (fetched.missing !== undefined) return fetched.missing;
  return (await works(own)) ? { command: own } : 'QEMU was fetched and does not run';
}

/** Whether it runs a dynamic program: the loader itself, which says its version. */
async function works(command: readonly string[]): Promise<boolean> {
  const [program = '', ...args] = command;
  const loader = join(args.at(-1) ?? '', 'lib/ld-linux-aarch64.so.1');
  const found = await run(program, [...args, loader, '--version']).catch(() => undefined);
  return found?.code === 0;
}
