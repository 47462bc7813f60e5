// Bundles the sources into dist/, so that a process loads only what its command needs.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Named by the launcher and by package.json's exports. */
const ENTRIES = {
  main: 'src/main/main.ts',
  kubectl: 'src/main/kubectl-main.ts',
  client: 'src/client/index.ts',
  'demo-workload': 'src/main/demo/workload.ts',
  'demo-card': 'src/main/demo/dpu/card.ts',
};

/** Packages that break when bundled: native code, or files read beside the code. */
const EXTERNAL = ['koffi', 'pkcs11js', '@platformatic/kafka'];

/** esbuild's ES modules lack `require`, which bundled CommonJS packages call for built-ins. */
const BANNER =
  "import { createRequire as makeRequire } from 'node:module';\n" +
  'const require = makeRequire(import.meta.url);';

/** Chunks that nothing names any more are kept this long: an older process may still load them. */
const STALE_CHUNK_MS = 24 * 3600 * 1000;

/** Whether a source is newer than the bundle. The launcher does the same with `find`. */
export function isStale(root) {
  const stamp = join(root, 'dist/.stamp');
  if (!existsSync(stamp)) return true;
  const stampMs = statSync(stamp).mtimeMs;
  const newer = (path) => statSync(path).mtimeMs > stampMs;
  if (newer(join(root, 'package-lock.json'))) return true;
  return sources(root).some(newer);
}

function sources(root) {
  return ['src', 'agent'].flatMap((top) => {
    const files = readdirSync(join(root, top), { recursive: true, withFileTypes: true });
    return files
      .filter((file) => file.isFile() && !file.name.endsWith('.test.ts'))
      .map((file) => join(file.parentPath ?? file.path, file.name));
  });
}

/** Worker threads find their code beside the chunk that starts them, under the source's base name. */
function workerEntries(root) {
  const workers = sources(root).filter((path) => path.endsWith('-worker.ts'));
  const entries = workers.map((path) => [basename(path, '.ts'), path]);
  if (new Set(entries.map(([name]) => name)).size !== entries.length) {
    throw new Error(`two workers have one name: ${workers.join(', ')}`);
  }
  return Object.fromEntries(entries);
}

/** Builds all entries; what runs meanwhile keeps its files. */
export async function bundle(root) {
  const startMs = Date.now();
  const dist = join(root, 'dist');
  const { outputFiles } = await compile(root, { ...ENTRIES, ...workerEntries(root) }, dist);
  writeOutputs(dist, outputFiles);
  removeStaleChunks(dist, new Set(outputFiles.map((file) => basename(file.path))));
  writeStamp(dist, startMs);
}

/**
 * Builds the program of agent packages into a folder of its own, without workers: an agent has none.
 * Answers the names of the packages that are in it.
 */
export async function bundleAgent(root, dist) {
  const { outputFiles, metafile } = await compile(root, { main: 'src/main/agent-main.ts' }, dist);
  writeOutputs(dist, outputFiles);
  return packagesOf(metafile);
}

/** Builds the kubectl plugin into one file. Answers the names of the packages that are in it. */
export async function bundlePlugin(root, outfile) {
  const entries = { plugin: 'src/main/kubectl-main.ts' };
  const whole = { splitting: false, minify: true };
  const { outputFiles, metafile } = await compile(root, entries, join(root, 'dist'), whole);
  writeFileSync(outfile, outputFiles[0].contents);
  return packagesOf(metafile);
}

function packagesOf(metafile) {
  const inputs = Object.keys(metafile.inputs);
  const names = inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(names)].filter((name) => name !== undefined).sort();
}

async function compile(root, entryPoints, outdir, more = {}) {
  const esbuildUrl = pathToFileURL(join(root, 'node_modules/esbuild/lib/main.js'));
  const { build } = (await import(esbuildUrl.href)).default;
  return build({
    absWorkingDir: root,
    entryPoints,
    outdir,
    metafile: true,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    entryNames: '[name]',
    chunkNames: 'chunk-[hash]',
    external: EXTERNAL,
    banner: { js: BANNER },
    legalComments: 'none',
    logLevel: 'silent',
    write: false,
    ...more,
  }).catch((error) => {
    throw new Error(`bundling failed:\n${describe(error)}`);
  });
}

function describe(error) {
  const lines = (error.errors ?? []).map(({ location, text }) =>
    location ? `  ${location.file}:${location.line}: ${text}` : `  ${text}`,
  );
  return lines.length > 0 ? lines.join('\n') : String(error.message);
}

/** Chunks first, entries last: whoever starts in between gets a whole bundle, old or new. */
function writeOutputs(dist, files) {
  mkdirSync(dist, { recursive: true });
  const isChunk = (file) => basename(file.path).startsWith('chunk-');
  for (const file of [...files.filter(isChunk), ...files.filter((file) => !isChunk(file))]) {
    if (existsSync(file.path) && readFileSync(file.path).equals(file.contents)) {
      utimesSync(file.path, new Date(), new Date());
      continue;
    }
    const temporary = `${file.path}.${process.pid}.tmp`;
    writeFileSync(temporary, file.contents);
    renameSync(temporary, file.path);
  }
}

function removeStaleChunks(dist, current) {
  for (const name of readdirSync(dist)) {
    const path = join(dist, name);
    const old = Date.now() - statSync(path).mtimeMs > STALE_CHUNK_MS;
    if (name.endsWith('.js') && !current.has(name) && old) rmSync(path, { force: true });
  }
}

/** The stamp bears the time at which the build began, so that later edits count as newer. */
function writeStamp(dist, startMs) {
  const stamp = join(dist, '.stamp');
  writeFileSync(stamp, '');
  utimesSync(stamp, new Date(startMs), new Date(startMs));
}
