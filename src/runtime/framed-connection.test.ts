import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { ManualClock, systemClock } from '../base/clock.ts';
import type { Framing } from '../base/framing.ts';
import { fail, ok } from '../base/result.ts';
import { FramedConnection, type FramedConnectionOptions } from './framed-connection.ts';

/** A length of one byte and the message; 255 is no length. */
const framing: Framing = {
  frame: (message) =>
    message.length > 200
      ? fail('SPDM_TOO_LARGE', 'too long')
      : ok(Uint8Array.of(message.length, ...message)),
  deframe(received) {
    const [length] = received;
    if (length === 255) return fail('SPDM_FRAME', 'no frame');
    if (length === undefined || received.length <= length) return ok(undefined);
    return ok({ message: received.slice(1, 1 + length), bytes: 1 + length });
  },
};

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

/** A server whose every connection is played by the test; it ends with the test. */
async function serve(context: TestContext, play: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    play(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server;
}

async function open(
  context: TestContext,
  server: Server,
  options: Partial<FramedConnectionOptions> = {},
): Promise<FramedConnection> {
  const { port } = server.address() as AddressInfo;
  const opened = await FramedConnection.open({
    host: '127.0.0.1',
    port,
    framing,
    clock: systemClock,
    timeoutMs: 60_000,
    maxAnswerBytes: 100,
    ...options,
  });
  const connection = assertValue(opened);
  context.after(() => connection.close());
  return connection;
}

/** Answers every message with itself backwards, in single bytes. */
function backwards(socket: Socket): void {
  socket.on('data', (received: Buffer) => {
    const [length = 0, ...message] = received;
    for (const byte of [length, ...message.toReversed()]) socket.write(bytes(byte));
  });
}

test('one question after the other is answered, whatever pieces an answer comes in', async (t) => {
  const connection = await open(t, await serve(t, backwards));
  for (const message of [[1, 2, 3], [], [4]]) {
    const answer = assertValue(await connection.exchange(bytes(...message)));
    assert.deepEqual([...answer], message.toReversed());
  }
});

test('a second question while an answer is waited for is a mistake of the caller', async (t) => {
  const connection = await open(t, await serve(t, backwards));
  const first = connection.exchange(bytes(1));
  assert.throws(() => connection.exchange(bytes(2)), TypeError);
  assertValue(await first);
});

test('a message that fits no frame is refused, and the connection serves on', async (t) => {
  const connection = await open(t, await serve(t, backwards));
  assertRefused(await connection.exchange(new Uint8Array(201)), 'SPDM_TOO_LARGE');
  assertValue(await connection.exchange(bytes(1)));
});

test('nobody listens: refused', async (t) => {
  const server = await serve(t, backwards);
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const options = { host: '127.0.0.1', port, framing, timeoutMs: 60_000, maxAnswerBytes: 100 };
  const opened = await FramedConnection.open({ ...options, clock: systemClock });
  assertRefused(opened, 'SPDM_UNREACHABLE');
});

const answers: readonly (readonly [string, readonly number[], 'SPDM_FRAME' | 'SPDM_TOO_LARGE'])[] =
  [
    ['two answers at once', [1, 1, 1, 1], 'SPDM_FRAME'],
    ['an answer and a half', [1, 1, 5], 'SPDM_FRAME'],
    ['a broken frame', [255], 'SPDM_FRAME'],
    [
      'more than an answer may have',
      [200, ...Array.from({ length: 100 }, () => 0)],
      'SPDM_TOO_LARGE',
    ],
  ];
for (const [name, answer, code] of answers) {
  test(`${name} ends the connection: ${code}`, async (t) => {
    const server = await serve(t, (socket) => {
      socket.once('data', () => socket.write(bytes(...answer)));
    });
    const connection = await open(t, server);
    assertRefused(await connection.exchange(bytes(1)), code);
    assertRefused(await connection.exchange(bytes(1)), code);
  });
}

test('bytes that nobody asked for end the connection', async (t) => {
  const ended = Promise.withResolvers<void>();
  const server = await serve(t, (socket) => {
    socket.write(bytes(1, 1));
    socket.on('data', () => undefined).on('close', () => ended.resolve());
    socket.on('end', () => socket.end());
  });
  const connection = await open(t, server);
  await ended.promise;
  assertRefused(await connection.exchange(bytes(1)), 'SPDM_FRAME');
});

test('an answer that is late ends the connection', async (t) => {
  const clock = new ManualClock(0);
  const asked = Promise.withResolvers<void>();
  const server = await serve(t, (socket) => {
    socket.once('data', () => asked.resolve());
  });
  const connection = await open(t, server, { clock, timeoutMs: 5000 });
  const answer = connection.exchange(bytes(1));
  await asked.promise;
  clock.advance(4999);
  clock.advance(1);
  assertRefused(await answer, 'SPDM_UNREACHABLE');
  assertRefused(await connection.exchange(bytes(1)), 'SPDM_UNREACHABLE');
});

test('the other side’s end is the end of the question', async (t) => {
  const server = await serve(t, (socket) => {
    socket.once('data', () => socket.destroy());
  });
  const connection = await open(t, server);
  assertRefused(await connection.exchange(bytes(1)), 'SPDM_UNREACHABLE');
});

test('closing says farewell, and answers who still waits', async (t) => {
  const said = Promise.withResolvers<readonly number[]>();
  const server = await serve(t, (socket) => {
    const received: number[] = [];
    socket.on('data', (some: Buffer) => received.push(...some));
    socket.on('end', () => said.resolve(received));
  });
  const connection = await open(t, server, { framing: { ...framing, farewell: bytes(9, 9) } });
  const answer = connection.exchange(bytes(7));
  connection.close();
  connection.close();
  assertRefused(await answer, 'SPDM_UNREACHABLE');
  assert.deepEqual(await said.promise, [1, 7, 9, 9]);
});
