import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CLIENT_HELLO,
  grpcStatus,
  messageFrame,
  requestFrame,
} from '../../test/support/http2-frames.ts';
import {
  rawUnix,
  serveUnix,
  temporaryFolder,
  testHost,
  workloadHandlers,
} from '../../test/support/rpc.ts';
import { ok, unwrap } from '../base/result.ts';
import { SpiffeWorkloadAPIService } from '../gen/workload.ts';
import type { PeerProcess } from './service.ts';
import { listenUnix } from './unix-listener.ts';

const JWT = '/SpiffeWorkloadAPI/FetchJWTSVID';

function place(context: TestContext): { path: string; mode: number; folderMode: number } {
  return { path: join(temporaryFolder(context), 'api.sock'), mode: 0o600, folderMode: 0o700 };
}

async function codeOf(options: Parameters<typeof listenUnix>[0]): Promise<string> {
  const opened = await listenUnix(options, testHost());
  if (!opened.ok) return opened.error.code;
  await opened.value.close();
  return 'opened';
}

test('a socket path of 107 bytes is taken, of 108 refused', async (context) => {
  const folder = temporaryFolder(context);
  for (const [length, expected] of [
    [106, 'opened'],
    [107, 'opened'],
    [108, 'SOCKET_PATH_TOO_LONG'],
  ] as const) {
    const path = join(folder, 'x'.repeat(length - folder.length - 1));
    assert.equal(await codeOf({ path, mode: 0o600, folderMode: 0o700 }), expected, String(length));
  }
});

test('paths that are not plain and absolute are refused', async () => {
  for (const path of ['api.sock', './a', '/tmp/../tmp/a', '/tmp//a', '/tmp/a\0b', '/tmp/', '']) {
    assert.equal(
      await codeOf({ path, mode: 0o600, folderMode: 0o700 }),
      'SOCKET_PATH_INVALID',
      path,
    );
  }
});

test('socket and a folder made for it have the permissions asked for', async (context) => {
  const path = join(temporaryFolder(context), 'private', 'api.sock');
  const options = { path, mode: 0o660, folderMode: 0o750 };
  const listener = unwrap(await listenUnix(options, testHost()));
  context.after(() => listener.close());
  assert.equal(lstatSync(path).mode & 0o777, 0o660);
  assert.equal(lstatSync(join(path, '..')).mode & 0o777, 0o750);
});

test('a path held by a live process is SOCKET_IN_USE, one left by a dead one is replaced', async (context) => {
  const options = place(context);
  const holder = spawn(process.execPath, [
    '-e',
    `require('node:net').createServer().listen(${JSON.stringify(options.path)}, () => console.log('up'))`,
  ]);
  context.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  assert.equal(await codeOf(options), 'SOCKET_IN_USE');
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  assert.ok(existsSync(options.path));
  assert.equal(await codeOf(options), 'opened');
});

test('what is not a socket, a link, and a folder that others control are refused', async (context) => {
  const folder = temporaryFolder(context);
  const at = (path: string) => ({ path, mode: 0o600, folderMode: 0o700 });
  const file = join(folder, 'file');
  writeFileSync(file, '');
  assert.equal(await codeOf(at(file)), 'SOCKET_PATH_UNSAFE');
  const target = createServer().listen(join(folder, 'target.sock'));
  context.after(() => target.close());
  await once(target, 'listening');
  symlinkSync(join(folder, 'target.sock'), join(folder, 'link.sock'));
  assert.equal(await codeOf(at(join(folder, 'link.sock'))), 'SOCKET_PATH_UNSAFE');
  mkdirSync(join(folder, 'real'));
  symlinkSync(join(folder, 'real'), join(folder, 'linked'));
  assert.equal(await codeOf(at(join(folder, 'linked', 'a.sock'))), 'SOCKET_PATH_UNSAFE');
  for (const [mode, expected] of [
    [0o702, 'SOCKET_PATH_UNSAFE'],
    [0o720, 'SOCKET_PATH_UNSAFE'],
    [0o755, 'opened'],
    [0o1777, 'opened'],
  ] as const) {
    chmodSync(join(folder, 'real'), mode);
    assert.equal(await codeOf(at(join(folder, 'real', 'a.sock'))), expected, mode.toString(8));
  }
  writeFileSync(join(folder, 'not-a-folder'), '');
  assert.equal(await codeOf(at(join(folder, 'not-a-folder', 'a.sock'))), 'SOCKET_PATH_UNSAFE');
});

/** Asks a child process to call the Workload API, and answers what the server saw of it. */
async function peerOfChild(
  context: TestContext,
): Promise<{ peer: PeerProcess; child: ReturnType<typeof spawn> }> {
  const seen = Promise.withResolvers<PeerProcess>();
  const host = testHost();
  host.addService(
    SpiffeWorkloadAPIService,
    workloadHandlers({
      fetchX509Svid: async (_, __, { connection }) => {
        if (connection.peer.kind === 'process') seen.resolve(connection.peer.process);
        return ok(undefined);
      },
    }),
  );
  const { address } = await serveUnix(context, host);
  const bytes = Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost'), messageFrame(1)]);
  const child = spawn(process.execPath, [
    '-e',
    `require('node:net').connect(${JSON.stringify(address)})
      .write(Buffer.from('${bytes.toString('hex')}', 'hex')); setInterval(() => {}, 1000)`,
  ]);
  context.after(() => child.kill('SIGKILL'));
  return { peer: await seen.promise, child };
}

test('the peer of a connection is the process that the kernel names', async (context) => {
  const { peer, child } = await peerOfChild(context);
  assert.equal(peer.pid, child.pid);
  assert.equal(peer.uid, process.getuid?.());
  assert.equal(peer.gid, process.getgid?.());
  assert.equal(peer.isAlive(), true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(peer.isAlive(), false);
});

test('connections over the caps are closed', async (context) => {
  const host = testHost({ limits: { maxConnections: 3, maxConnectionsPerPeer: 2 } });
  host.addService(SpiffeWorkloadAPIService, workloadHandlers());
  const { address } = await serveUnix(context, host);
  const hello = Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]);
  const first = rawUnix(context, address);
  const second = rawUnix(context, address);
  for (const client of [first, second]) {
    client.socket.write(hello);
    assert.equal(grpcStatus(await client.until((b) => grpcStatus(b, 1) !== undefined), 1), '0');
  }
  await rawUnix(context, address).closed;
  first.socket.destroy();
  await first.closed;
  // The server has noticed once it lets another in.
  for (let admitted = false; !admitted; ) {
    const client = rawUnix(context, address);
    client.socket.write(hello);
    admitted = grpcStatus(await client.until((b) => grpcStatus(b, 1) !== undefined), 1) === '0';
  }
});

test('a listener that is closed leaves no socket behind', async (context) => {
  const options = place(context);
  const listener = unwrap(await listenUnix(options, testHost()));
  await listener.close();
  assert.equal(existsSync(options.path), false);
});

test('no descriptor stays open when connections end, whatever way', async (context) => {
  const host = testHost();
  host.addService(SpiffeWorkloadAPIService, workloadHandlers());
  const { address } = await serveUnix(context, host);
  const good = Buffer.concat([CLIENT_HELLO, requestFrame(1, 'localhost', JWT), messageFrame(1)]);
  const bad = Buffer.concat([CLIENT_HELLO, requestFrame(1, '/a.sock', JWT), messageFrame(1)]);
  const openCount = (): number => readdirSync('/proc/self/fd').length;
  const run = async (bytes: Buffer, wait: boolean): Promise<void> => {
    const client = rawUnix(context, address);
    client.socket.write(bytes);
    if (wait) await client.until((b) => grpcStatus(b, 1) !== undefined);
    client.socket.destroy();
    await client.closed;
  };
  const all = async (): Promise<void> => {
    for (const bytes of [
      good,
      bad,
      Buffer.alloc(0),
      CLIENT_HELLO,
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      await run(bytes, bytes === good || bytes === bad);
      await run(bytes, false);
    }
  };
  await all();
  const settled = async (): Promise<number> => {
    while (host.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve));
    return openCount();
  };
  const before = await settled();
  for (let i = 0; i < 20; i++) await all();
  // What the last close events have still to release.
  for (let i = 0; i < 200 && (await settled()) > before; i++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok((await settled()) <= before, `${before} before, ${openCount()} after`);
});
