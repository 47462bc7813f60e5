import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../support/processes.ts';
import { alone, build } from './build.ts';
import { fromDebian } from './debian.ts';

const PACKAGES = ['softhsm2', 'libsofthsm2', 'softhsm2-common'];
const ADDON = 'node_modules/pkcs11js/build/Release/pkcs11.node';

let root = '/';

/** A token of SoftHSM in a folder of its own. */
export interface SoftToken {
  readonly module: string;
  readonly label: string;
  readonly pin: string;
  /** Folder with the token's objects. */
  readonly tokens: string;
}

/** Brings SoftHSM and compiles the package that calls it; says why when it cannot. */
export async function prepareSoftHsm(): Promise<string | undefined> {
  const missing = await alone(compileAddon);
  if (missing !== undefined) return missing;
  const place = await fromDebian({ name: 'softhsm', packages: PACKAGES, works });
  if (place.missing !== undefined) return place.missing;
  root = place.root;
  return undefined;
}

async function compileAddon(): Promise<string | undefined> {
  if (existsSync(ADDON)) return undefined;
  const built = await build([
    ['npm', ['rebuild', 'pkcs11js', '--ignore-scripts=false', '--loglevel=error'], '.'],
  ]);
  if (built.missing !== undefined) return built.missing;
  return existsSync(ADDON) ? undefined : 'npm did not compile pkcs11js';
}

async function works(at: string): Promise<boolean> {
  return moduleOf(at) !== undefined && existsSync(join(at, 'usr/bin/softhsm2-util'));
}

function moduleOf(at: string): string | undefined {
  const folders = ['usr/lib/softhsm', 'usr/lib/x86_64-linux-gnu/softhsm'];
  const paths = folders.map((folder) => join(at, folder, 'libsofthsm2.so'));
  return paths.find((path) => existsSync(path));
}

/** Makes a token; the library of this process is pointed at its folder from now on. */
export async function makeToken(): Promise<SoftToken> {
  const module = moduleOf(root) ?? '';
  const dir = mkdtempSync(join(tmpdir(), 'sgn-hsm-'));
  const tokens = join(dir, 'tokens');
  mkdirSync(tokens);
  const config = join(dir, 'softhsm2.conf');
  writeFileSync(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  process.env.SOFTHSM2_CONF = config;
  const [label, pin] = ['signet-test', '123456'];
  const made = await run(join(root, 'usr/bin/softhsm2-util'), [
    ...['--init-token', '--free', '--module', module, '--label', label],
    ...['--pin', pin, '--so-pin', '87654321'],
  ]);
  if (made.code !== 0) throw new TypeError(made.stderr + made.stdout);
  return { module, label, pin, tokens };
}
