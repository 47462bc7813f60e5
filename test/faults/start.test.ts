import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';
import { devFolder, lives, SIGNET } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { type Finished, run, stopChild, waitForSocket } from '../support/processes.ts';

/** A process that refused to start: exit 1, the code, what to do next, and no stack. */
function assertRefused({ code, stderr }: Finished, expected: ErrorCode): void {
  assert.equal(code, 1, stderr);
  const told = stderr.replace(/^\{.*\}\n/gm, '');
  assert.match(told, new RegExp(`^signet: .+\n  code: ${expected} \\(\\w+\\)\n  next: `), told);
  assert.ok(told.includes(ERRORS[expected].action), told);
  assert.doesNotMatch(stderr, /\n\s+at |"stack"/);
}

/** Command line of a server in a folder. */
function server(dir: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const flags = {
    'trust-domain': 'example.org',
    'bind-address': '127.0.0.1',
    'server-port': '0',
    'data-dir': join(dir, 'data'),
    'socket-path': join(dir, 'admin/api.sock'),
    config: join(dir, 'server.yaml'),
    ...changes,
  };
  if (!existsSync(flags.config)) writeFileSync(flags.config, '');
  return ['server', 'run', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
}

/** Command line of an agent in a folder. */
function agent(dir: string, changes: Readonly<Record<string, string>> = {}): string[] {
  const flags = {
    'trust-domain': 'example.org',
    'server-address': '127.0.0.1',
    'server-port': '1',
    'data-dir': join(dir, 'agent'),
    'socket-path': join(dir, 'w/api.sock'),
    'join-token': 'no-such-token',
    config: join(dir, 'agent.yaml'),
    ...changes,
  };
  if (!existsSync(flags.config)) writeFileSync(flags.config, 'bootstrap: { insecure: true }\n');
  return ['agent', 'run', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
}

/** Starts a process that runs until the test ends. */
async function started(
  context: TestContext,
  argv: string[],
  socket: string,
): Promise<ChildProcess> {
  const child = spawn(SIGNET, argv, { stdio: 'ignore' });
  context.after(() => stopChild(child));
  await waitForSocket(socket, child);
  return child;
}

test('a configuration with an unknown key starts nothing and makes nothing', async (context) => {
  const dir = devFolder(context);
  writeFileSync(join(dir, 'server.yaml'), 'listen: { prot: 8081 }\n');
  const refused = await run(SIGNET, server(dir));
  assertRefused(refused, 'CONFIG_INVALID');
  assert.match(
    refused.stderr,
    /server\.yaml:\d+:\d+: listen\.prot: unknown key; did you mean "port"/,
  );
  writeFileSync(join(dir, 'agent.yaml'), 'bootstrap: { insecure: true }\nlimitz: {}\n');
  const agentToo = await run(SIGNET, agent(dir));
  assertRefused(agentToo, 'CONFIG_INVALID');
  assert.match(agentToo.stderr, /limitz: unknown key; did you mean "limits"/);
  assert.deepEqual(readdirSync(dir).sort(), ['agent.yaml', 'server.yaml']);
});

test('A5 of two servers started at once on one data directory one runs, one is refused', async (context) => {
  const dir = devFolder(context);
  const children = ['1', '2'].map((name) => {
    const socket = join(dir, name, 'api.sock');
    const child = spawn(SIGNET, server(dir, { 'socket-path': socket }), {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    context.after(() => stopChild(child));
    let stderr = '';
    child.stderr.on('data', (bytes) => {
      stderr += String(bytes);
    });
    return { child, socket, stderr: () => stderr, ended: once(child, 'close') };
  });
  const loser = await Promise.race(children.map((each) => each.ended.then(() => each)));
  const winner = children.find((each) => each !== loser)!;
  assertRefused(
    { code: loser.child.exitCode, stdout: '', stderr: loser.stderr() },
    'DATA_DIR_LOCKED',
  );
  assert.match(loser.stderr(), new RegExp(`process ${winner.child.pid}\\b`));
  await waitForSocket(winner.socket, winner.child);
  assert.ok(lives(winner.child.pid ?? 0));
  const shown = await run(SIGNET, ['bundle', 'show', '--server-socket', winner.socket]);
  assert.equal(shown.code, 0, shown.stderr);
});

test('A5 a second agent on one data directory is refused', async (context) => {
  const dir = devFolder(context);
  const first = await started(context, agent(dir), join(dir, 'w/api.sock'));
  const second = await run(SIGNET, agent(dir, { 'socket-path': join(dir, 'w/2.sock') }));
  assertRefused(second, 'DATA_DIR_LOCKED');
  assert.match(second.stderr, new RegExp(`process ${first.pid}\\b`));
  assert.ok(lives(first.pid ?? 0));
});

test('A15 a database of a newer program is refused and left as it is', async (context) => {
  const fleet = await Fleet.start({ serverOnly: true });
  context.after(() => fleet.stop());
  await fleet.stopServer();
  const dir = devFolder(context);
  cpSync(join(fleet.dir, 'server/data'), join(dir, 'data'), { recursive: true });
  const path = join(dir, 'data/server.sqlite');
  const database = new DatabaseSync(path);
  database.exec('INSERT INTO migrations (version) VALUES (999)');
  database.close();
  const before = readFileSync(path);
  assertRefused(await run(SIGNET, server(dir)), 'STORE_SCHEMA_NEWER');
  assert.deepEqual(readFileSync(path), before);
});

for (const [who, argv, socketOf] of [
  ['server', server, (dir: string) => join(dir, 'admin/api.sock')],
  ['agent', agent, (dir: string) => join(dir, 'w/api.sock')],
] as const) {
  test(`the ${who}'s socket path: taken by a live process, left by a dead one, or a file`, async (context) => {
    const dir = devFolder(context);
    const socket = socketOf(dir);
    mkdirSync(join(socket, '..'), { mode: 0o755 });
    const holder = createServer().listen(socket);
    await once(holder, 'listening');
    const { ino } = statSync(socket);
    assertRefused(await run(SIGNET, argv(dir)), 'SOCKET_IN_USE');
    assert.equal(statSync(socket).ino, ino, 'the socket of the live process is as it was');
    holder.close();
    await once(holder, 'close');

    writeFileSync(socket, 'precious');
    assertRefused(await run(SIGNET, argv(dir, { 'socket-path': socket })), 'SOCKET_PATH_UNSAFE');
    assert.equal(readFileSync(socket, 'utf8'), 'precious');

    const free = join(socket, '../dead.sock');
    const child = await started(context, argv(dir, { 'socket-path': free }), free);
    await stopChild(child, 'SIGKILL');
    assert.ok(existsSync(free), 'a killed process leaves its socket');
    const next = await started(context, argv(dir, { 'socket-path': free }), free);
    assert.ok(lives(next.pid ?? 0));
  });
}
