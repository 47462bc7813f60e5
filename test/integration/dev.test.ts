import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { devFolder, eventually, lives, SIGNET, startDev } from '../support/dev.ts';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const linux = process.platform === 'linux' ? { skip: false } : skipUnlessCi('needs Linux');

// The bundle is made once, not by every process at the same time.
before(() => run(SIGNET, ['version']));

const mode = (path: string): number => statSync(path).mode & 0o777;
const me = `unix:uid:${process.getuid?.()}`;

test(
  'dev prints one line of JSON when both are ready, and stops cleanly',
  linux,
  async (context) => {
    const dir = devFolder(context);
    const dev = await startDev(context, '--dir', dir, '--trust-domain', 'dev.test');
    const { line } = dev;
    assert.deepEqual(Object.keys(line), [
      'trustDomain',
      'serverAddress',
      'adminSocket',
      'workloadSocket',
      'bundlePath',
      'agentId',
      'serverPid',
      'agentPid',
    ]);
    assert.equal(line.trustDomain, 'dev.test');
    assert.match(line.serverAddress, /^127\.0\.0\.1:\d+$/);
    assert.match(line.agentId, /^spiffe:\/\/dev\.test\/spire\/agent\/join_token\/[0-9a-f-]+$/);
    assert.ok(lives(line.serverPid) && lives(line.agentPid));

    assert.equal(mode(join(dir, 'public')), 0o755);
    assert.equal(mode(join(dir, 'private')), 0o700);
    assert.equal(mode(line.workloadSocket), 0o777);
    assert.equal(mode(line.adminSocket), 0o600);
    assert.equal(line.workloadSocket, join(dir, 'public/api.sock'));
    assert.match(readFileSync(line.bundlePath, 'utf8'), /^-----BEGIN CERTIFICATE-----/);

    assert.equal(await dev.stop(), 0);
    assert.equal(dev.out().split('\n').length, 2);
    assert.equal(dev.err(), '');
    assert.ok(!lives(line.serverPid) && !lives(line.agentPid));
  },
);

test('dev started again on its folder has the same keys and entries', linux, async (context) => {
  const dir = devFolder(context);
  const first = await startDev(context, '--dir', dir);
  const created = await first.cli(
    ...['entry', 'create', '-spiffeID', 'spiffe://example.org/me', '-selector', me],
    ...['-parentID', first.line.agentId],
  );
  assert.equal(created.code, 0, created.stderr);
  const bundle = readFileSync(first.line.bundlePath, 'utf8');
  assert.equal(await first.stop('SIGINT'), 0);

  const again = await startDev(context, '--dir', dir);
  assert.equal(again.line.agentId, first.line.agentId);
  assert.equal(readFileSync(again.line.bundlePath, 'utf8'), bundle);
  const fetched = await again.cli('api', 'fetch', '-o', 'json');
  assert.equal(JSON.parse(fetched.stdout).svids[0].spiffeId, 'spiffe://example.org/me');
});

test(
  'dev lets an agent whose SVID lapsed join anew, and its entries go along',
  linux,
  async (context) => {
    const dir = devFolder(context);
    const flags = ['--dir', dir, '--agent-ttl', '4s', '--x509-svid-ttl', '4s'];
    const first = await startDev(context, ...flags);
    await first.cli(
      ...['entry', 'create', '-spiffeID', 'spiffe://example.org/me', '-selector', me],
      ...['-parentID', first.line.agentId],
    );
    await first.stop();
    // Real time: the SVID must lapse.
    await new Promise((resolve) => setTimeout(resolve, 4500));
    const again = await startDev(context, ...flags);
    assert.notEqual(again.line.agentId, first.line.agentId);
    const fetched = await again.cli('api', 'fetch', '-o', 'json');
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.equal(JSON.parse(fetched.stdout).svids[0].spiffeId, 'spiffe://example.org/me');
    const agents = JSON.parse((await again.cli('agent', 'list', '-o', 'json')).stdout).agents;
    assert.equal(agents.length, 1);
  },
);

test(
  'after kill -9 of dev its children end, and the folder can be used at once',
  linux,
  async (context) => {
    const dir = devFolder(context);
    const { child, line } = await startDev(context, '--dir', dir);
    child.kill('SIGKILL');
    await once(child, 'close');
    const again = await startDev(context, '--dir', dir);
    assert.equal(again.line.agentId, line.agentId);
    await eventually(() => !lives(line.serverPid) && !lives(line.agentPid));
  },
);

for (const who of ['server', 'agent'] as const) {
  test(
    `dev ends with 1 when the ${who} is killed, saying which and where its log is`,
    linux,
    async (context) => {
      const dir = devFolder(context);
      const { child, line, err } = await startDev(context, '--dir', dir);
      const closed = once(child, 'close');
      process.kill(who === 'server' ? line.serverPid : line.agentPid, 'SIGKILL');
      await closed;
      assert.equal(child.exitCode, 1);
      assert.match(err(), new RegExp(`the ${who} ended by itself \\(signal SIGKILL\\)`));
      assert.match(err(), /code: DEV_CHILD_ENDED/);
      assert.ok(err().includes(join(dir, `private/${who}.log`)));
      assert.ok(!lives(line.serverPid) && !lives(line.agentPid));
    },
  );
}

test('two devs cannot have one folder', linux, async (context) => {
  const dir = devFolder(context);
  await startDev(context, '--dir', dir);
  const second = await run(SIGNET, ['dev', '--dir', dir]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /code: DEV_DIR_BUSY/);
});

test('dev keeps to the trust domain of its folder', linux, async (context) => {
  const dir = devFolder(context);
  await (await startDev(context, '--dir', dir, '--trust-domain', 'a.test')).stop();
  const other = await run(SIGNET, ['dev', '--dir', dir, '--trust-domain', 'b.test']);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /code: DEV_DIR_TRUST_DOMAIN/);
  assert.equal((await startDev(context, '--dir', dir)).line.trustDomain, 'a.test');
});

test('dev refuses a port that is taken, with the log that says so', linux, async (context) => {
  const holder = createServer().listen(0, '127.0.0.1');
  context.after(() => holder.close());
  await once(holder, 'listening');
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const refused = await run(SIGNET, ['dev', '--dir', devFolder(context), '--port', `${port}`]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /code: DEV_CHILD_ENDED/);
  assert.match(refused.stderr, /EADDRINUSE|in use/);
});

const foreign: readonly (readonly [string, (dir: string) => void])[] = [
  ['that holds a file of something else', (dir) => writeFileSync(join(dir, 'notes.txt'), '')],
  ['that holds a folder of something else', (dir) => mkdirSync(join(dir, 'private'))],
  ['with a marker of something else', (dir) => writeFileSync(join(dir, '.signet-dev'), 'mine\n')],
  ['whose marker is a link', (dir) => symlinkSync('/etc/passwd', join(dir, '.signet-dev'))],
  ['that others may write to', (dir) => chmodSync(dir, 0o777)],
];

for (const [name, spoil] of foreign) {
  test(`dev refuses a folder ${name}, and changes nothing in it`, linux, async (context) => {
    const dir = devFolder(context);
    spoil(dir);
    const before = readdirSync(dir);
    const refused = await run(SIGNET, ['dev', '--dir', dir]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /code: DEV_DIR_FOREIGN/);
    assert.deepEqual(readdirSync(dir), before);
  });
}

test(
  'dev refuses a folder whose sockets would have a path of 108 bytes',
  linux,
  async (context) => {
    const dir = join(devFolder(context), 'x'.repeat(80));
    const fits = (bytes: number): string => {
      const tail = '/private/api.sock'.length;
      return join(dir.slice(0, bytes - tail));
    };
    const refused = await run(SIGNET, ['dev', '--dir', fits(108)]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /has 108 bytes\n {2}code: DEV_SOCKET_PATH_TOO_LONG/);
    assert.ok(!existsSync(fits(108)));
    await startDev(context, '--dir', fits(107));
  },
);

test(
  'without --json dev prints commands that can be pasted, and they work',
  linux,
  async (context) => {
    const dir = devFolder(context);
    // Through a shell, as a user would paste them while it runs.
    const script = `
    "${SIGNET}" dev --dir ${dir} > ${dir}.out 2> ${dir}.err & dev=$!
    trap 'kill $dev; wait $dev; rm -f ${dir}.out ${dir}.err' EXIT
    until grep -q 'Stop with Ctrl-C' ${dir}.out; do kill -0 $dev || exit 9; sleep 0.1; done
    sed -n '/^  export/p; /entry create/,/parent-id/p; /api fetch/p' ${dir}.out > ${dir}/try.sh
    . ${dir}/try.sh
  `;
    const { code, stdout, stderr } = await run('/bin/sh', ['-euc', script]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /SPIFFE ID +: spiffe:\/\/example\.org\/me/);
    assert.match(stdout, /Bundle of example\.org: 1 authority/);
    assert.match(stdout, /Audience +: test/);
  },
);
