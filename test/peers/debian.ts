import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, cacheDir, has } from './build.ts';

/** What Debian has of a peer. */
export interface DebianPeer {
  /** Names its folder in the cache. */
  readonly name: string;
  /** With everything they depend on that a plain machine does not have. */
  readonly packages: readonly string[];
  /** Whether it runs, unpacked below `root`; asked first with the machine's own, below `/`. */
  readonly works: (root: string) => Promise<boolean>;
}

/** Where a peer is, or why it is nowhere. */
export type DebianPlace =
  | { readonly root: string; readonly missing?: undefined }
  | { readonly missing: string };

/**
 * Brings a peer from Debian unless the machine has it: by package lists of our own, since the machine's
 * may be old or none, and unpacked in place of installed. Neither needs root. Files of tests run side by
 * side, and nobody may unpack over what another runs, so the first one locks the others out.
 */
export async function fromDebian({ name, packages, works }: DebianPeer): Promise<DebianPlace> {
  if (await works('/')) return { root: '/' };
  const root = cacheDir(name);
  if (await works(root)) return { root };
  if (!(await has('apt-get')) || !(await has('dpkg')))
    return { missing: `${name} is not installed` };
  for (const folder of ['lists/partial', 'cache']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  const apt = `apt-get -o Dir::State::Lists=${root}/lists -o Dir::Cache=${root}/cache -q`;
  const script = `test -e done || { ${apt} update && ${apt} download ${packages.join(' ')} &&
    for deb in *.deb; do dpkg -x "$deb" . || exit 1; done && touch done; }`;
  const fetched = await build([['flock', ['lock', 'sh', '-c', script], root]]);
  if (fetched.missing !== undefined) return { missing: fetched.missing };
  return (await works(root)) ? { root } : { missing: `${name} was fetched and does not run` };
}

/** Environment for programs below `root`: where their libraries are. */
export function libraryPath(root: string, ...folders: readonly string[]): NodeJS.ProcessEnv {
  if (root === '/') return process.env;
  const library = join(root, 'usr/lib/x86_64-linux-gnu');
  const paths = [library, ...folders.map((folder) => join(library, folder))];
  return { ...process.env, LD_LIBRARY_PATH: paths.join(':') };
}
