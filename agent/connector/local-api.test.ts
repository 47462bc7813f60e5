import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { local } from '../../test/support/companion.ts';
import { assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { openLocalApi } from './local-api.ts';

/** An open local socket, and what changes its segments. */
async function open(context: TestContext, requestMs = 60_000) {
  const folder = testFolder(context);
  const listeners = new Set<() => void>();
  let version = '1';
  const api = assertValue(
    await openLocalApi({
      settings: { path: join(folder, 'local.sock'), mode: 0o660, group: undefined },
      clock: systemClock,
      health: () => ({ ok: true, failures: {} }),
      status: () => ({}),
      segments: () => ({ version, document: () => Buffer.from(`{"version":"${version}"}`) }),
      onSegments: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      requestMs,
      drain: async () => ({ drained: true, openFlows: 0 }),
    }),
  );
  context.after(() => api.close());
  return {
    folder,
    listeners,
    change: (to: string) => {
      version = to;
      for (const listener of listeners) listener();
    },
  };
}

async function raw(context: TestContext, folder: string): Promise<Socket> {
  const socket = connect(join(folder, 'local.sock'));
  context.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('those who watch leave room for health and for a drain; one too many is told', async (context) => {
  const { folder, listeners, change } = await open(context);
  const watches = Array.from({ length: 40 }, () => local(folder, '/segments?watch&version=1'));
  const refused = await Promise.any(
    watches.map(async (watch) => {
      const { status } = await watch;
      assert.equal(status, 503);
    }),
  ).then(() => true);
  assert.ok(refused);
  assert.equal((await local(folder, '/ready')).status, 200);
  assert.equal((await local(folder, '/drain', 'POST')).status, 200);
  change('2');
  const statuses = (await Promise.all(watches)).map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 200).length, 32);
  assert.equal(listeners.size, 0);
  assert.equal((await local(folder, '/segments?watch&version=1')).status, 200);
});

test('clients that say nothing, or never end, are cut off, and others are served again', async (context) => {
  const { folder } = await open(context, 500);
  const mute = await Promise.all(Array.from({ length: 32 }, () => raw(context, folder)));
  const slow = await Promise.all(Array.from({ length: 31 }, () => raw(context, folder)));
  for (const socket of slow) socket.write('GET /ready HTTP/1.1\r\nHost: a\r\nX: ');
  const endless = await raw(context, folder);
  endless.write('POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n');
  // All places are taken until the first of them is cut off.
  await Promise.all(
    [...mute, ...slow, endless].map(async (socket) => {
      socket.resume();
      if (!socket.closed) await once(socket, 'close');
    }),
  );
  assert.equal((await local(folder, '/ready')).status, 200);
});

test('what is no request of ours is answered, and nothing ends', async (context) => {
  const { folder } = await open(context);
  for (const path of ['/', '//', '/../etc/passwd', '/segments/../status2', '/%00', '/drain']) {
    assert.equal((await local(folder, path)).status, 404, path);
  }
  for (const text of ['-1', '1e3', '9999999', 'x', '']) {
    const { status } = await local(folder, `/drain?timeoutSeconds=${text}`, 'POST');
    assert.equal(status, 400, text);
  }
  for (const bytes of ['\0\0\0\0\r\n\r\n', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = await raw(context, folder);
    socket.write(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  assert.equal((await local(folder, '/live')).status, 200);
});
